"""A fragment that many pages ask for at once is rendered once, and no error of one adds up for the others."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest
from support.servers import wait_until
from tidegate_web.pages.shared_fragments import KEPT_SECONDS, SharedFragments


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Rendering:
    """Counts its calls; each waits until it may go on."""

    def __init__(self, *, raises: bool = False) -> None:
        self.begun = 0
        self.may_end = Event()
        self._raises = raises
        self._lock = Lock()

    def __call__(self) -> str:
        with self._lock:
            self.begun += 1
            number = self.begun
        assert self.may_end.wait(timeout=30)
        if self._raises:
            raise OSError("away")
        return f"the {number}."


def text(said: str) -> Callable[[], str]:
    return lambda: said


def test_those_that_ask_at_once_get_what_one_has_rendered() -> None:
    shared, rendering = SharedFragments(), Rendering()
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(shared.get, "key", rendering) for _ in range(10)]
        wait_until(lambda: rendering.begun == 1, what="the first to render")
        rendering.may_end.set()
        assert {each.result() for each in asked} == {"the 1."}
    assert rendering.begun == 1


def test_another_key_waits_for_nobody() -> None:
    shared, rendering = SharedFragments(), Rendering()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(shared.get, ("project", 1), rendering)
        wait_until(lambda: rendering.begun == 1, what="the first to render")
        assert shared.get(("project", 2), text("other")) == "other"
        rendering.may_end.set()
        assert slow.result() == "the 1."


def test_those_that_waited_for_an_error_render_all_at_once() -> None:
    shared, rendering = SharedFragments(), Rendering(raises=True)
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(shared.get, "key", rendering) for _ in range(5)]
        wait_until(lambda: rendering.begun == 1, what="the first to render")
        rendering.may_end.set()
        for each in asked:
            with pytest.raises(OSError, match="away"):
                each.result()
    assert rendering.begun == 5


def test_a_fragment_is_rendered_again_when_it_is_old() -> None:
    clock = Clock()
    shared = SharedFragments(clock=clock)
    assert shared.get("key", text("first")) == "first"
    clock.now = KEPT_SECONDS - 0.1
    assert shared.get("key", text("second")) == "first"
    clock.now = KEPT_SECONDS
    assert shared.get("key", text("third")) == "third"
    clock.now = 2 * KEPT_SECONDS - 0.1
    assert shared.get("key", text("fourth")) == "third"


def test_no_more_than_so_many_are_kept_the_newest() -> None:
    shared = SharedFragments(clock=Clock(), most=3)
    for number in range(10):
        shared.get(number, text(f"{number}"))
    assert [shared.get(number, text("again")) for number in (9, 8, 7)] == ["9", "8", "7"]
    assert shared.get(6, text("again")) == "again"

"""The fair queue: whose turn it is in one line, whatever has left it and however often it was changed."""

import random
from dataclasses import replace

import pytest
from support.admission import NOW, a_ticket
from tidegate_operator.queueing.fair_queue import FairQueue, QueueEntry


def line_of(*entries: QueueEntry) -> FairQueue:
    line = FairQueue()
    for entry in entries:
        line.put(entry)
    return line


def best(line: FairQueue, *closed: str, with_token: bool = True) -> str | None:
    entry = line.best(with_token=with_token, is_open=lambda key: key not in closed)
    return entry.uid if entry is not None else None


def served(line: FairQueue) -> list[str]:
    """All of them, in their turns."""
    order = []
    while (entry := line.best(with_token=True, is_open=lambda _: True)) is not None:
        line.take(entry)
        order.append(entry.uid)
    return order


def test_behind_one_that_has_left_comes_the_next_of_its_key() -> None:
    line = line_of(a_ticket("urgent", priority=5), a_ticket("other"))
    assert line.drop("urgent") == a_ticket("urgent", priority=5)
    assert best(line) == "other"
    assert line.drop("urgent") is None


def test_a_key_that_has_left_and_comes_again_is_new() -> None:
    line = line_of(a_ticket("a", key="a"), a_ticket("b", key="b"))
    line.drop("a")
    line.put(a_ticket("a", key="a"))
    assert served(line) == ["b", "a"]


def test_what_has_left_leaves_nothing_behind() -> None:
    line = FairQueue()
    for i in range(1000):
        line.put(a_ticket(f"one-{i}", key=f"key-{i}"))
        line.put(a_ticket(f"two-{i}", key=f"key-{i}"))
        line.drop(f"one-{i}")
        line.drop(f"two-{i}")
    assert len(line._keys) == 0
    assert (best(line), line.oldest, len(line), list(line)) == (None, None, 0, [])


def test_within_a_key_the_oldest_goes_first_whether_it_is_a_retry_or_not() -> None:
    old, young = a_ticket("old"), a_ticket("young", queued_at=NOW + 1)
    for first in (True, False):
        line = line_of(replace(old, first=first), replace(young, first=not first))
        assert served(line) == ["old", "young"]


def test_without_a_token_retries_go_and_first_attempts_wait() -> None:
    line = line_of(a_ticket("first"), a_ticket("retry", first=False, queued_at=NOW + 1))
    assert best(line, with_token=False) == "retry"
    line.drop("retry")
    assert best(line, with_token=False) is None
    assert best(line) == "first"


def test_a_key_that_is_closed_is_passed_over_until_it_is_opened() -> None:
    line = line_of(a_ticket("a", key="a"), a_ticket("b", key="b"), a_ticket("c", key="c"))
    assert best(line, "a", "b") == "c"
    assert best(line) == "c"
    line.reopen("b")
    assert best(line) == "b"
    line.reopen_all()
    assert best(line) == "a"


@pytest.mark.parametrize("kept", [1, 7])
def test_no_entry_is_lost_when_the_queue_is_compacted(kept: int) -> None:
    line = line_of(*(a_ticket(f"kept-{i}", key=f"key-{i}", queued_at=NOW + i) for i in range(kept)))
    for i in range(2000):
        key = f"key-{i % kept}"
        line.put(a_ticket("moves", key=key, priority=i % 3 - 1, queued_at=NOW + i, first=i % 2 == 0))
        line.put(a_ticket(f"passes-{i}", key=key, queued_at=NOW + 5000, first=i % 3 == 0))
        line.drop(f"passes-{i}")
    assert line.oldest == NOW
    line.drop("moves")
    assert served(line) == [f"kept-{i}" for i in range(kept)]


def test_the_line_serves_all_by_priority_and_within_a_key_by_age() -> None:
    chance = random.Random(11)  # noqa: S311 - the same story every time
    for _ in range(200):
        line = FairQueue()
        waiting: dict[str, QueueEntry] = {}
        for step in range(60):
            if chance.random() < 0.7 or not waiting:
                uid = f"r{chance.randrange(25)}"
                waiting[uid] = a_ticket(
                    uid,
                    key=chance.choice("abc"),
                    priority=chance.randrange(3),
                    queued_at=NOW + chance.randrange(9),
                    first=chance.random() < 0.5,
                    number=step,
                )
                line.put(waiting[uid])
            else:
                gone = waiting.pop(chance.choice(sorted(waiting)))
                assert line.drop(gone.uid) == gone
        assert line.oldest == min((t.queued_at for t in waiting.values()), default=None)
        order = [waiting[uid] for uid in served(line)]
        assert sorted(t.uid for t in order) == sorted(waiting)
        assert [t.priority for t in order] == sorted((t.priority for t in order), reverse=True)
        for key in "abc":
            mine = [t.order for t in order if t.key == key]
            assert mine == sorted(mine)

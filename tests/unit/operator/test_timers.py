"""timers: one moment a key."""

from tidegate_operator.control.timers import Timers


def test_keys_are_due_once_and_in_order() -> None:
    timers: Timers[str] = Timers()
    for key, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        timers.set(key, at)
    assert timers.next_at == 1.0
    assert list(timers.due(2.0)) == ["a", "b"]
    assert list(timers.due(2.0)) == []
    assert timers.next_at == 3.0


def test_a_key_set_again_is_due_at_its_new_moment_alone() -> None:
    timers: Timers[str] = Timers()
    timers.set("later", 1.0)
    timers.set("later", 5.0)
    timers.set("never", 1.0)
    timers.set("never", None)
    assert list(timers.due(4.0)) == []
    assert list(timers.due(5.0)) == ["later"]


def test_a_key_set_to_the_same_moment_again_is_kept_once() -> None:
    timers: Timers[str] = Timers()
    for _ in range(1000):
        timers.set("same", 1.0)
    assert len(timers._heap) == 1

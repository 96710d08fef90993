"""looks: a file of a log is looked at before it is gone, and a log that says little costs next to nothing."""

from tidegate_web.mirror.logs.rotation_schedule import SECONDS, SELDOM_SECONDS, WORTH_BYTES, RotationSchedule


def test_a_short_log_is_never_looked_at() -> None:
    looks = RotationSchedule(now=0)
    looks.came(WORTH_BYTES - 1)
    assert not looks.is_due(1_000_000)


def test_a_log_that_grows_fast_is_looked_at_every_few_seconds() -> None:
    looks, times = RotationSchedule(now=0), []
    for second in range(60):
        looks.came(WORTH_BYTES)
        if looks.is_due(second):
            times.append(second)
    assert times == list(range(int(SECONDS), 60, int(SECONDS)))


def test_a_log_that_has_fallen_silent_is_looked_at_soon_and_then_more_and_more_seldom() -> None:
    looks = RotationSchedule(now=0)
    looks.came(10 * WORTH_BYTES)
    times = [second for second in range(4000) if looks.is_due(second)]
    assert times[:4] == [5, 10, 20, 40]
    assert times[-1] - times[-2] == SELDOM_SECONDS


def test_much_that_comes_brings_the_looks_back() -> None:
    looks = RotationSchedule(now=0)
    looks.came(WORTH_BYTES)
    for second in range(1000):
        looks.is_due(second)
    looks.came(WORTH_BYTES)
    assert looks.is_due(1000)


def test_a_reader_that_is_held_up_looks_as_often_as_where_much_comes() -> None:
    looks = RotationSchedule(now=0)
    looks.came(WORTH_BYTES)
    times = [second for second in range(60) if looks.is_due(second, held_up=True)]
    assert times == list(range(int(SECONDS), 60, int(SECONDS)))


def test_a_short_log_is_not_looked_at_while_its_reader_is_held_up() -> None:
    looks = RotationSchedule(now=0)
    looks.came(WORTH_BYTES - 1)
    assert not looks.is_due(1_000_000, held_up=True)

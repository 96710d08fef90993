"""policies/rate: a token bucket that is right again after a restart."""

from typing import Any

import pytest
from tidegate_operator.queueing.token_bucket import TokenBucket

NOW = 1_000_000.0


def a_bucket(*, tokens: float | None = None, at: float = NOW, **limit: int) -> TokenBucket:
    whole: Any = {"runs": 2, "perSeconds": 10, **limit}
    return TokenBucket.of(whole, tokens=tokens, at=at)


def test_a_new_bucket_is_full_and_its_burst_is_its_runs_unless_said() -> None:
    assert a_bucket().left(NOW) == 2
    assert a_bucket(burst=5).left(NOW) == 5
    assert a_bucket(burst=1).left(NOW) == 1


def test_tokens_flow_in_evenly_up_to_the_burst() -> None:
    bucket = a_bucket(tokens=0)
    assert [bucket.left(NOW + s) for s in (0, 2.5, 5, 10, 100)] == [0, 0.5, 1, 2, 2]


def test_what_is_taken_is_missing_until_it_has_flown_in_again() -> None:
    bucket = a_bucket()
    bucket.take(NOW)
    bucket.take(NOW)
    assert bucket.next_at(NOW) == NOW + 5
    assert bucket.next_at(NOW + 4) == NOW + 5
    assert bucket.next_at(NOW + 6) == NOW + 6
    bucket.give_back(NOW + 1)
    assert bucket.next_at(NOW + 1) == NOW + 1


def test_a_clock_that_was_set_back_gives_nothing_twice() -> None:
    bucket = a_bucket(tokens=0)
    assert bucket.left(NOW - 100) == 0
    bucket.take(NOW - 100)
    assert bucket.at == NOW


@pytest.mark.parametrize(("created", "counts"), [(-1.0, False), (0.0, True), (1.0, True)])
def test_jobs_made_since_the_bucket_was_written_count_in_doubt(created: float, counts: bool) -> None:
    assert a_bucket(tokens=1, at=NOW + 0.7).counts(NOW + created) is counts


def test_what_is_given_back_is_one_token_and_never_more_than_the_burst() -> None:
    bucket = a_bucket(tokens=0, burst=5)
    bucket.give_back(NOW)
    assert bucket.left(NOW) == 1
    full = a_bucket()
    full.give_back(NOW)
    assert full.left(NOW) == 2


def test_a_token_that_is_there_is_there_now_also_after_the_clock_was_set_back() -> None:
    assert a_bucket(tokens=1, at=NOW).next_at(NOW - 60) == NOW - 60
    assert a_bucket(tokens=0, at=NOW).next_at(NOW - 60) == NOW + 5


def test_numbers_beyond_their_bounds_count_as_the_bound_and_what_is_no_number_as_absent() -> None:
    odd = TokenBucket.of({"runs": 0, "perSeconds": 0, "burst": 0})
    assert (odd.runs, odd.per_seconds, odd.burst, odd.tokens) == (1, 1, 1, 1)
    nonsense: Any = {"runs": "many", "perSeconds": None}
    absent = TokenBucket.of(nonsense)
    assert (absent.runs, absent.per_seconds, absent.burst) == (1, 1, 1)

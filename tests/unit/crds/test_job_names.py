"""Which Job is of which attempt."""

import hashlib

import pytest
from tidegate_api.job_names import attempt_of_job, job_name

UID = "4f5cfb6e-8a53-4c6d-9d4c-0f6a3d7f7a11"


def test_names_are_those_of_the_contract() -> None:
    digest = hashlib.sha256(UID.encode()).hexdigest()[:8]
    assert job_name("resize", UID, 3) == f"resize-{digest}-3"
    cut = job_name("a" * 39 + "-bcd", UID, 1)
    assert cut.startswith("a" * 39 + "-")
    assert "--" not in cut


def test_there_and_back() -> None:
    for attempt in (1, 2, 100):
        assert attempt_of_job(job_name("run", UID, attempt), run="run", run_uid=UID) == attempt


@pytest.mark.parametrize("name", ["run", "run-1", job_name("other", UID, 1), job_name("run", "x", 1), "run-00000000-1"])
def test_other_names_are_no_attempts(name: str) -> None:
    assert attempt_of_job(name, run="run", run_uid=UID) is None


def test_odd_numbers() -> None:
    stem = job_name("run", UID, 1)[:-1]
    for number in ("0", "01", "-1", "1x", "", "١", "9" * 30):
        assert attempt_of_job(stem + number, run="run", run_uid=UID) is None

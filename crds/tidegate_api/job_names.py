"""Names of Jobs: the same for every part that computes them, so that no attempt is made twice and none is mistaken for another."""

import hashlib


def job_name(run: str, run_uid: str, number: int) -> str:
    """The Job of attempt ``number``: ``<run name cut to 40>-<8 hex of sha256(run uid)>-<number>``."""
    digest = hashlib.sha256(run_uid.encode()).hexdigest()[:8]
    return f"{run[:40].rstrip('-')}-{digest}-{number}"


def attempt_of_job(name: str, *, run: str, run_uid: str) -> int | None:
    """Which attempt of the run a Job of this name is; None when it is of none."""
    number = name.rpartition("-")[2]
    if not number.isdecimal() or not number.isascii() or len(number) > 9:
        return None
    attempt = int(number)
    return attempt if attempt >= 1 and name == job_name(run, run_uid, attempt) else None

"""The names that tie a Job to its run: a Job is of an attempt only when it has exactly the name the contract gives it."""

import hashlib


def job_name(run_name: str, run_uid: str, attempt: int) -> str:
    """The Job of one attempt: ``<run name cut to 40>-<8 hex of sha256(run uid)>-<attempt>``."""
    digest = hashlib.sha256(run_uid.encode()).hexdigest()[:8]
    return f"{run_name[:40].rstrip('-')}-{digest}-{attempt}"


def attempt_of_job(name: str, *, run_name: str, run_uid: str) -> int | None:
    """Which attempt of the run this Job's name says it is; None when it isn't one."""
    number = name.rpartition("-")[2]
    if not number.isdecimal() or not number.isascii() or len(number) > 9:
        return None
    attempt = int(number)
    return attempt if attempt >= 1 and name == job_name(run_name, run_uid, attempt) else None

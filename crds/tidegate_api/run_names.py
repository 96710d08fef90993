"""Names of runs whose creator has chosen none.

The web app and the command make runs, each without the other: a key must lead both to one name, or a run that was asked
for once is made twice. The runs of ticks are named in `ticks.py`.
"""

import hashlib
import re
import secrets
import string
from typing import Final

from tidegate_api.names import DNS_LABEL

_RANDOM: Final = string.ascii_lowercase + string.digits
_DIGITS: Final = string.digits + string.ascii_lowercase
_CUT: Final = 40


def new_name(task: object) -> str:
    """``<task cut to 40>-<8 random>``; the runs of inline tasks are called ``run-…``."""
    named = isinstance(task, str) and len(task) <= 63 and re.fullmatch(DNS_LABEL, task)
    return f"{_stem(task if named else '')}-{''.join(secrets.choice(_RANDOM) for _ in range(8))}"


def name_of_key(project: str, task: str, key: str) -> str:
    """``<task cut to 40>-<16 hex of sha256("project/task/key")>``; an inline task is ``run`` there and empty here."""
    return f"{_stem(task)}-{hashlib.sha256(f'{project}/{task}/{key}'.encode()).hexdigest()[:16]}"


def triggered_name(schedule: str, milliseconds: int) -> str:
    """Of a Schedule's run that was triggered by hand. No tick has such a name: minutes are digits alone."""
    return f"{schedule}-m{base36(milliseconds)}"


def base36(number: int) -> str:
    """A number in digits and small letters."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def _stem(task: object) -> str:
    return str(task)[:_CUT].rstrip("-") or "run"

"""What is wrong with a payload, and where: apart from the validator, which only its own process loads."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PATH_MAX: Final = 400


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a payload."""

    at: str
    """A JSONPath; empty where no place of the payload is to blame."""
    message: str


def json_path(parts: Sequence[str | int]) -> str:
    """A place in a payload: ``$.pictures[0]``."""
    made = "$"
    for part in parts:
        if isinstance(part, int):
            made += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_]\w{0,99}", part, re.ASCII):
            made += f".{part}"
        else:
            made += f"[{json.dumps(part[:100] + ('…' if len(part) > 100 else ''), ensure_ascii=False)}]"
        if len(made) > PATH_MAX:
            return f"{made[:PATH_MAX]}…"
    return made

"""What differs between two JSON values, line by line. Pure."""

import difflib
import json
from dataclasses import dataclass
from typing import Final

MOST_LINES: Final = 2000
"""Of either: comparing takes time with the square of it."""

CONTEXT: Final = 3


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line: ``+`` where only the new one has it, ``-`` where only the old one has it, ``@`` where lines are left out."""

    sign: str
    text: str


def diff(old: object, new: object) -> list[DiffLine] | None:
    """The lines that differ, with some around them; none where both are equal. None where there is too much to compare."""
    before, after = (json.dumps(each, indent=2, sort_keys=True, ensure_ascii=False).splitlines() for each in (old, new))
    if max(len(before), len(after)) > MOST_LINES:
        return None
    lines = list(difflib.unified_diff(before, after, n=CONTEXT, lineterm=""))[2:]
    return [DiffLine("@", "…") if line.startswith("@@") else DiffLine(line[0], line[1:]) for line in lines]

"""What broke with an object, in words that fit into a status (`quarantine.py` has the mechanism)."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

MESSAGE_MAX: Final = 512
READING: Final = "reading it"
HERE: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Fault:
    """What broke with an object."""

    doing: str
    """What was being done with it: "reading it", "deciding on it", "acting on it"."""
    error: str
    """The exception and where it was raised, in one line."""

    @classmethod
    def of(cls, doing: str, error: BaseException) -> Self:
        """From an exception that was just caught."""
        said = " ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE_MAX]
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if HERE in Path(f.filename).parents] or frames
        where = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
        return cls(doing, said + where)

    @property
    def message(self) -> str:
        """For a status."""
        return f"{self.doing} broke: {self.error}"


class FaultError(Exception):
    """An object can't be worked with; the fault was found earlier."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """Which object."""

    kind: str
    """A plural."""
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, kind: str, meta: Mapping[str, object]) -> Self:
        """From an object's metadata, of which nothing is taken for granted."""
        return cls(
            kind=kind,
            namespace=str(meta.get("namespace") or ""),
            name=str(meta.get("name") or ""),
            uid=str(meta.get("uid") or ""),
        )

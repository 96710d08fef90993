"""How much the archive keeps for a project: what still fits, and what is said where something doesn't.

Without a bound one project fills the disk on which all have their archive. Over it nothing else of a run is disturbed.
"""

from dataclasses import dataclass
from typing import Final

NEAR_BYTES: Final = 2**30
"""So close to the bound, writers of a project take turns. It is more than all of them together have under way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveBound:
    """The bytes of a project; 0: no bound."""

    most: int

    def fits(self, growth: int, *, used: int) -> bool:
        """Whether there is room. What takes no more than what it replaces always fits."""
        return not self.most or growth <= 0 or used + growth <= self.most

    def is_near(self, growth: int, *, used: int) -> bool:
        """Whether others that write at this moment may take the room."""
        return not self.fits(growth + NEAR_BYTES, used=used)

    def is_as_good_as_used(self, used: int) -> bool:
        """Whether hardly anything fits any more."""
        return bool(self.most) and used >= self.most * 0.95

    def refusal(self, what: str, *, project: str, used: int) -> str:
        """What is answered to a pod."""
        return f"The {what} doesn't fit: the archive keeps at most {self.most} bytes for the project {project}, and {used} are used."

    @property
    def why_cut(self) -> str:
        """The reason of the end mark of a log."""
        return f"The archive keeps at most {self.most} bytes for a project, and this one has used them."

    @property
    def cut_mark(self) -> bytes:
        """The last line of a log that is cut."""
        return f"\n[Tidegate: the log is cut here, the archive keeps at most {self.most} bytes for this project]\n".encode()

    @property
    def why_not_stored(self) -> str:
        """What stands for a field of a run that is archived beyond the bound."""
        return f"the archive keeps at most {self.most} bytes for a project, and this one has used them"


NO_BOUND: Final = ArchiveBound(most=0)

"""The phases of a run as text, in the order in which lists and the API's description name them."""

from typing import Final

from tidegate_api.names import Phase

TERMINAL_PHASES: Final = tuple(phase.value for phase in Phase if phase.terminal)
ACTIVE_PHASES: Final = tuple(phase.value for phase in Phase if not phase.terminal)
FAILED_PHASES: Final = (Phase.FAILED.value, Phase.EXPIRED.value)
"""Those in which a run did not succeed, though nobody cancelled it and nothing that it needs failed."""

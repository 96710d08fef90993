"""Exit codes, and the one kind of error that people see: a line that says what to do."""

from typing import Final

SUCCEEDED: Final = 0
NOT_SUCCEEDED: Final = 1
"""The run that was waited for ended in another way."""
MISUSED: Final = 2
NOT_DONE: Final = 3
"""What was asked for couldn't be done or found out: refused, not there, no answer. It says nothing about a run."""
TIMED_OUT: Final = 124
INTERRUPTED: Final = 130


class CommandError(Exception):
    """Ends the command with one line on stderr."""

    def __init__(self, message: str, *, code: int = NOT_DONE) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code


class MissingError(CommandError):
    """What was named isn't there."""


class AwayError(CommandError):
    """The server doesn't answer; asking again later may help."""

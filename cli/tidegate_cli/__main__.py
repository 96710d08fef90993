"""`tidegate`, and `kubectl tidegate`: runs the command and reports what goes wrong in one line."""

import os
import sys
from pathlib import Path

import click

from tidegate_cli.app import cli
from tidegate_cli.errors import INTERRUPTED, NOT_DONE, CommandError
from tidegate_cli.times import one_line


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    called = "kubectl tidegate" if plugin else "tidegate"
    try:
        code = cli.main(arguments, prog_name=called, complete_var="_TIDEGATE_COMPLETE", standalone_mode=False)
        sys.stdout.flush()
    except CommandError as error:
        return _fail(str(error), error.code)
    except click.Abort:
        return _fail("interrupted", INTERRUPTED)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        helped = f" (see {context.command_path} --help)" if context is not None else ""
        return _fail(error.format_message().rstrip(".") + helped, error.exit_code)
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does.
        _write_nowhere(1)
        return NOT_DONE
    except Exception as error:
        if os.environ.get("TIDEGATE_DEBUG"):
            raise
        return _fail(
            f"this is a fault of the command: {type(error).__name__}: {error} (TIDEGATE_DEBUG=1 shows where)", NOT_DONE
        )
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    try:
        sys.stderr.write(f"tidegate: {one_line(message)}\n")
        sys.stderr.flush()
    except OSError:  # the terminal has hung up
        _write_nowhere(1, 2)
    return code


def _write_nowhere(*descriptors: int) -> None:
    """Also not what is still buffered: Python would fail at the end of the process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for each in descriptors:
        os.dup2(nowhere, each)


def run() -> None:
    """The script's entry point."""
    sys.exit(main())


if __name__ == "__main__":
    run()

"""A program that is a fork is to its test what a program is that was started: environment, files, signals, exit code."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import fork_server
from support.servers import wait_until

IMPORTED = "import colorsys"
ENVIRONMENT = {"PATH": os.environ["PATH"], "ONLY": "this"}


def ended(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return fork_server.run_to_end(IMPORTED, arguments, env=ENVIRONMENT, stdin=stdin)


def test_it_has_its_own_environment_arguments_and_files() -> None:
    program = "import os, sys; print(sorted(os.environ), sys.argv, input(), os.getcwd()); print('x', file=sys.stderr)"
    done = ended("-c", program, "a", "b", stdin="given\n")
    # LC_CTYPE is what Python sets where a locale is missing.
    names = [name for name in ("LC_CTYPE", "ONLY", "PATH") if name in done.stdout]
    assert done.stdout == f"{names} ['-c', 'a', 'b'] given {Path.cwd()}\n"
    assert (done.returncode, done.stderr) == (0, "x\n")


def test_what_was_imported_is_there_and_what_one_changes_no_other_sees() -> None:
    program = "import sys; m = sys.modules['colorsys']; print(hasattr(m, 'changed')); m.changed = True"
    assert [ended("-c", program).stdout for _ in range(2)] == ["False\n", "False\n"]


def test_a_module_and_a_file_are_run_as_programs(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("import sys; print(__name__, sys.argv[1:])")
    assert ended(str(file), "a").stdout == "__main__ ['a']\n"
    assert ended("-m", "json.tool", stdin="[1]").stdout == "[\n    1\n]\n"


@pytest.mark.parametrize(
    ("program", "code"),
    [("pass", 0), ("import sys; sys.exit(3)", 3), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 9)", -9)],
)
def test_its_exit_code_is_reported(program: str, code: int) -> None:
    assert ended("-c", program).returncode == code


def test_an_error_is_a_traceback_on_its_stderr() -> None:
    assert "ZeroDivisionError" in ended("-c", "1 / 0").stderr


def test_it_is_sent_signals_and_waited_for(tmp_path: Path) -> None:
    program = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()"
    with (tmp_path / "out").open("wb") as out:
        started = fork_server.start(IMPORTED, ["-c", program], env=ENVIRONMENT, stdout=out, stderr=out)
    wait_until(lambda: (tmp_path / "out").read_text() == "1\n", what="its word")
    assert started.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(0)
    started.terminate()
    assert (started.wait(10), started.poll(), started.returncode) == (7, 7, 7)
    started.send_signal(signal.SIGTERM)  # nothing is there to get it


def test_ctrl_c_interrupts_it() -> None:
    assert (
        "KeyboardInterrupt"
        in ended("-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT); signal.pause()").stderr
    )

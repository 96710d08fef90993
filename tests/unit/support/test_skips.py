"""A skip without an allowed reason fails the run."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]


def run(folder: Path, test: str, *options: str) -> "subprocess.CompletedProcess[str]":
    (folder / "test_it.py").write_text(f"import pytest\n\n{test}", encoding="ascii")
    (folder / "test_beside.py").write_text("def test_b():\n    pass\n", encoding="ascii")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "support.skips", "-c", "/dev/null", *options, str(folder)]
    return subprocess.run(
        command, env={"PYTHONPATH": str(TESTS)}, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "test",
    [
        'def test_a():\n    pytest.skip("no time")\n',
        '@pytest.mark.skip(reason="no time")\ndef test_a():\n    pass\n',
        'pytest.skip("no time", allow_module_level=True)\n',
        'pytest.importorskip("no_such_module")\n',
    ],
)
def test_a_skip_for_any_other_reason_fails(tmp_path: Path, test: str) -> None:
    done = run(tmp_path, test)
    assert done.returncode == 1, done.stdout
    assert "skipped without a reason" in done.stdout


def test_a_skip_for_an_allowed_reason_passes(tmp_path: Path) -> None:
    test = 'def test_a():\n    pytest.skip("there is no Python 3.9 on this machine")\n'
    done = run(tmp_path, test)
    assert (done.returncode, "1 passed, 1 skipped" in done.stdout) == (0, True), done.stdout

"""Change the operator's decisions a little at a time, and see that a test fails for each change (mutmut).

python tests/mutation.py [MUTANT ...]   e.g. "tidegate_operator.policies.retry*"; "survivors": those that no test saw last time

mutmut takes the name of a module from its path, and knows `src/` alone as a folder that isn't part of it. So it works in a copy
where `operator/` is called so; what it has found stays there, and a second run goes on with it.

It notes which test reaches which function, and runs only those for a change of it, the quickest first, until one fails. One
change at a time at the lowest priority by default, so that a machine with other work can bear it: MUTATION_CHILDREN=4 for more.
Random tests draw the same examples each time, else the score would depend on luck.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutation"
BESIDE = ("cli", "cluster", "crds", "docs", "examples", "helm", "runner-image", "tests", "webapp", "CONTRIBUTING.md")
MUTATED = ("policies/*", "status.py", "numbers.py", "timers.py")
"""Policies and statuses, admission among them, and the pure functions that they stand on."""
SURVIVORS = "survivors"
NOT_SEEN = (0, 33)
"""What mutmut notes of a change with which all tests passed, and of one that no test reached."""
CONFIG = """\
[tool.mutmut]
source_paths = ["src"]
only_mutate = [{mutated}]
also_copy = [{beside}]
pytest_add_cli_args_test_selection = ["tests/unit/operator"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "--hypothesis-seed=0"]
timeout_multiplier = 6.0

"""


def lay_out() -> None:
    """Bring the copy up to date; mutmut looks at what has changed."""
    COPY.mkdir(parents=True, exist_ok=True)
    for tests in (COPY / "tests", COPY / "mutants" / "tests"):  # else tests that are gone would go on running
        shutil.rmtree(tests, ignore_errors=True)
    for source, target in (("operator", "src"), *((name, name) for name in BESIDE)):
        copied = COPY / target
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, copied, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / source, copied)
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pytest = pyproject[pyproject.index("[tool.pytest.ini_options]") :]
    config = CONFIG.format(mutated=quoted(f"src/tidegate_operator/{name}" for name in MUTATED), beside=quoted(BESIDE))
    (COPY / "pyproject.toml").write_text(config + pytest, encoding="utf-8")


def quoted(names: Iterable[str]) -> str:
    """The items of a TOML array."""
    return ", ".join(f'"{name}"' for name in names)


def forget_unseen() -> None:
    """Have the changes that no test saw, or that no test reached, tried again with those of functions that have changed."""
    (COPY / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)  # which test reaches what may have changed, too
    for path in (COPY / "mutants").rglob("*.py.meta"):
        meta = json.loads(path.read_text(encoding="utf-8"))
        found = meta["exit_code_by_key"]
        meta["exit_code_by_key"] = {name: None if code in NOT_SEEN else code for name, code in found.items()}
        path.write_text(json.dumps(meta), encoding="utf-8")


def main(mutants: list[str]) -> int:
    """Run those mutants, all by default, list what no test has seen, and the score; returns mutmut's exit code."""
    os.nice(19)
    if mutants == [SURVIVORS]:
        forget_unseen()
        mutants = []
    lay_out()
    imported = [COPY / "mutants" / name for name in ("src", "crds")]
    for folder in imported:  # before Python starts: it looks no more into a folder that wasn't there then
        folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(map(str, imported))
    environment = {**os.environ, "PYTHONPATH": path}
    mutmut = [sys.executable, "-m", "mutmut"]
    children = f"--max-children={os.environ.get('MUTATION_CHILDREN', '1')}"
    code = subprocess.run([*mutmut, "run", children, *mutants], cwd=COPY, env=environment, check=False).returncode
    for command in ("results", "export-cicd-stats"):
        subprocess.run([*mutmut, command], cwd=COPY, env=environment, check=False)
    score = json.loads((COPY / "mutants" / "mutmut-cicd-stats.json").read_text(encoding="utf-8"))
    print(", ".join(f"{what} {number}" for what, number in score.items()))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

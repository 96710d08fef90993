"""Change the operator's decisions a little at a time, and see that a test fails for each change (mutmut).

python tests/mutation.py [MUTANT ...]   e.g. "tidegate_operator.policies.retry*"

mutmut takes the name of a module from its path, and knows `src/` alone as a folder that isn't part of it. So it works in a copy
where `operator/` is called so; what it has found stays there, and a second run goes on with it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutation"
BESIDE = ("cli", "cluster", "crds", "docs", "examples", "helm", "runner-image", "tests", "webapp", "CONTRIBUTING.md")
CONFIG = """\
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/tidegate_operator/policies/*", "src/tidegate_operator/status.py"]
also_copy = [{beside}]
pytest_add_cli_args_test_selection = ["tests/unit/operator"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]

"""


def lay_out() -> None:
    """Bring the copy up to date; mutmut looks at what has changed."""
    COPY.mkdir(parents=True, exist_ok=True)
    for source, target in (("operator", "src"), *((name, name) for name in BESIDE)):
        copied = COPY / target
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, copied, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / source, copied)
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pytest = pyproject[pyproject.index("[tool.pytest.ini_options]") :]
    beside = ", ".join(f'"{name}"' for name in BESIDE)
    (COPY / "pyproject.toml").write_text(CONFIG.format(beside=beside) + pytest, encoding="utf-8")


def main(mutants: list[str]) -> int:
    """Run those mutants, all by default, and list what no test has seen; returns mutmut's exit code."""
    lay_out()
    path = os.pathsep.join(str(COPY / "mutants" / name) for name in ("src", "crds"))
    environment = {**os.environ, "PYTHONPATH": path}
    mutmut = [sys.executable, "-m", "mutmut"]
    code = subprocess.run([*mutmut, "run", *mutants], cwd=COPY, env=environment, check=False).returncode
    subprocess.run([*mutmut, "results"], cwd=COPY, env=environment, check=False)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

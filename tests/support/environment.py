"""What a process that a test starts gets of the variables that it would not inherit."""

import os


def coverage_variables() -> dict[str, str]:
    """Those by which coverage.py measures processes that are started (`make coverage`); none in an ordinary run."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}

"""The command line: `python3 -m tidegate_cluster --help`."""

from __future__ import annotations

import argparse
import sys

from . import programs, settings
from .errors import ClusterError


def main() -> int:
    """Run one command; what people can put right is told in one line."""
    parser = argparse.ArgumentParser(prog="tidegate_cluster", description=__doc__)
    parser.add_argument("command", choices=["programs"])
    parser.parse_args()
    try:
        print(programs.require(settings=settings.from_environment()))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

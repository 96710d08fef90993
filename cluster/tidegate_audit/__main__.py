"""The command line: `python3 -m tidegate_audit`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import components, osv


def main(arguments: Sequence[str] | None = None) -> int:
    """0: no component has an advisory. 1: some have. 2: nothing could be looked up."""
    parser = argparse.ArgumentParser(prog="tidegate_audit", description=sys.modules["tidegate_audit"].__doc__)
    parser.add_argument("--service", default=osv.SERVICE, metavar="URL", help="ask this server of OSV's API")
    given = parser.parse_args(arguments)
    looked_up = components.found_in(Path(__file__).resolve().parents[2])
    try:
        found = osv.advisories(looked_up, service=given.service)
    except osv.AuditError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for component, ids in sorted(found.items()):
        links = ", ".join(f"https://osv.dev/vulnerability/{one}" for one in ids)
        print(f"{component.ecosystem} {component.name} {component.version}: {links}")
    print(f"{len(looked_up)} components looked up, {len(found)} with advisories", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

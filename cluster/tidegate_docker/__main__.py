"""The command line: `python3 -m tidegate_docker up | down | run WORD ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tidegate_cluster import locks, settings
from tidegate_cluster.errors import ClusterError

from .engine import Engine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what people can put right is one line of error."""
    parser = argparse.ArgumentParser(prog="tidegate_docker", description=sys.modules["tidegate_docker"].__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the engine and a registry at localhost:5000")
    commands.add_parser("down", help="end both, with all that runs in them")
    run = commands.add_parser("run", help="run a program beside the engine, started if need be")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    given = parser.parse_args(arguments)
    found = settings.from_environment()
    engine = Engine(settings=found)
    try:
        with locks.locked(found.locks / "docker.lock", waiting_for="another command on the Docker engine"):
            if given.command == "down":
                engine.down()
                return 0
            engine.up()
        if given.command == "run":
            return engine.run(*given.words)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

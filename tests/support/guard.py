"""Holds the cluster of the tests: makes way for it, and takes it away as soon as its standard input ends.

A process of its own, since the tests may end in ways that leave them no last word (`python -m support.guard NAME`).
"""

import signal
import sys

from tidegate_cluster import locks, settings
from tidegate_cluster.clusters import Clusters


def main(name: str) -> None:
    """One set of tests at a time; what an earlier one has left goes first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    found = Clusters(settings=settings.from_environment())
    with locks.locked(found.settings.locks / f"tests-{name}.lock", waiting_for="other tests on this cluster"):
        found.down(name)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        found.down(name)


if __name__ == "__main__":
    main(sys.argv[1])

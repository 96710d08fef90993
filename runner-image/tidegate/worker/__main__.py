"""``python -m tidegate.worker``: what a worker's container runs."""

import json
import os
import signal
import sys


def main() -> int:
    """Work as the environment says; the exit code."""
    from tidegate.worker import linux, settings

    # Before anything else: what is secret later must not be readable from the beginning.
    linux.set_dumpable(False)
    linux.become_subreaper()
    linux.block_all_signals()
    try:
        found = settings.from_environment(os.environ)
    except settings.SettingsError as error:
        sys.stdout.write(json.dumps({"level": "error", "event": str(error)}) + "\n")
        return 1
    from tidegate.worker.worker import Worker

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return Worker(found, os.environ).run()


if __name__ == "__main__":
    sys.exit(main())

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
    from tidegate.worker.worker import Worker, write_termination_log

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        worker = Worker(settings.from_environment(os.environ), os.environ)
    except (settings.SettingsError, OSError) as error:  # a port that is taken, among others
        message = f"the worker can't start: {error}"
        sys.stdout.write(json.dumps({"level": "error", "event": message}) + "\n")
        write_termination_log(os.environ.get(settings.TERMINATION_LOG_VARIABLE) or settings.TERMINATION_LOG, message)
        return 1
    return worker.run()


if __name__ == "__main__":
    sys.exit(main())

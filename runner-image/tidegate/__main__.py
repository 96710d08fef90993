"""``python -m tidegate package.module:function``: what a pod with an ``entrypoint`` runs."""

import sys


def main() -> int:
    """Run the task that the one argument names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tidegate package.module:function\n")
        return 64
    from tidegate.runner import run

    return run(sys.argv[1])


if __name__ == "__main__":
    # Exit codes go out even when the task left threads running.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    import os

    os._exit(code)

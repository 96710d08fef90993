"""``python -m tidegate package.module:function``: what a pod with an ``entrypoint`` runs."""

import sys


def main() -> int:
    """Run the task that the one argument names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tidegate package.module:function\n")
        return 64
    from tidegate.runner import Attempt

    return Attempt().run(sys.argv[1])


if __name__ == "__main__":
    # Python ends as after any program: the outcome is written by then.
    sys.exit(main())

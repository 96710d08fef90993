"""The program's door. ``live`` and ``all`` serve with gevent, which must take its place before anything imports ssl,
socket or threading; so this looks at the command first, and everything else is in commands.py.
"""

import sys

GEVENT_COMMANDS = ("live", "all")

if len(sys.argv) > 1 and sys.argv[1] in GEVENT_COMMANDS:
    from gevent import monkey  # type: ignore[import-untyped]

    monkey.patch_all()

from tidegate_web.commands import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())

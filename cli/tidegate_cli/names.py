"""Names that go into a path: one that can't be a name never gets there."""

import re

from tidegate_api.names import DNS_LABEL

from tidegate_cli.errors import MISUSED, CommandError


def checked(name: str, *, what: str = "name") -> str:
    """The name, when Kubernetes would take it as one."""
    if len(name) > 63 or not re.fullmatch(DNS_LABEL, name):
        raise CommandError(f"{name!r} can't be a {what}: at most 63 of a-z, 0-9 and -, beginning and ending with a-z or 0-9", code=MISUSED)  # fmt: skip
    return name

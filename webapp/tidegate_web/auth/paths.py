"""Where a sign-in may lead: to a path of this site, never elsewhere."""

from urllib.parse import urlsplit


def local_path(target: str | None) -> str | None:
    """The target when it is a path of this site, so that a sign-in can't send anyone elsewhere."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    if any(ord(sign) < 32 for sign in target):
        return None
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else None

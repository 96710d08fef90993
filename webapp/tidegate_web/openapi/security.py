"""Who may call, in the description's words, and which errors follow from that."""

from collections.abc import Iterator

from tidegate_web.openapi.schemas import Schema
from tidegate_web.shared.permissions import Permission, Role

READING = ("GET", "HEAD", "OPTIONS")

SCHEMES: Schema = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key of a project, `tg_…`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "tidegate",
        "description": "A session, from signing in; over https the cookie is `__Host-tidegate`.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRFToken",
        "description": "The session's CSRF token, beside its cookie, for all but reading.",
    },
    "runToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that the kubelet keeps in the run's pod (`TIDEGATE_TOKEN_FILE`).",
    },
}
FOR_PEOPLE = (Permission.PERSON, Permission.INSTANCE_ADMIN)


def permission_name(permission: Permission) -> str:
    """A role's label, or the permission's own name."""
    if isinstance(permission.value, Role):
        return permission.value.label
    return permission.name.lower().replace("_", "-")


def permission_text(permission: Permission) -> str:
    """For people."""
    if isinstance(permission.value, Role):
        return f"For those who have the role {permission.value.label} in the project, or a higher one."
    return f"For {permission.value}."


def security_of(permission: Permission, method: str) -> list[dict[str, list[str]]]:
    """Ways to sign in, one of which is needed."""
    if permission is Permission.PUBLIC:
        return []
    if permission is Permission.RUN_TOKEN:
        return [{"runToken": []}]
    session: dict[str, list[str]] = {"session": []} if method in READING else {"session": [], "csrf": []}
    return [session] if permission in FOR_PEOPLE else [{"apiKey": []}, session]


def refusals(permission: Permission, method: str) -> Iterator[int]:
    """Errors of a caller who may not call, or calls too often."""
    yield 401
    yield 429
    if permission not in (Permission.PUBLIC, Permission.SIGNED_IN) or method not in READING:
        yield 403

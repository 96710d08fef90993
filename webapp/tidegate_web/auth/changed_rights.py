"""Whose remembered answers end when the rights of a user change.

Postgres is asked first, so a role that is taken away ends at once. While Postgres is away, the last answers count that Redis
remembers (``memory.py``): for the user's sessions, and for the API keys that the user answers for. They say what the rights were.
"""

from sqlalchemy import Connection

from tidegate_web.store.queries import keys, users


def tokens_of(connection: Connection, *, user_id: int) -> list[bytes]:
    """The hashes to forget after the commit of a change."""
    sessions = users.session_hashes(connection, user_id=user_id)
    return [*sessions, *keys.owned_hashes(connection, owner_id=user_id)]

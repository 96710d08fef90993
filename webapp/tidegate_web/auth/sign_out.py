"""Ending sessions: their rows go, and what is remembered of them, wherever their cookies are."""

from tidegate_web.services import Services
from tidegate_web.store.queries import users


def end_sessions(made: Services, *, user_id: int, session_id: int | None = None, but: bytes | None = None) -> int:
    """End one session of a user, or all of them (but the one of this token's hash); how many there were."""
    with made.engine.begin() as connection:
        ended = users.close_sessions(connection, user_id=user_id, session_id=session_id, but=but)
    made.auth.callers.forget(*ended)
    return len(ended)

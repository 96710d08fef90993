"""The first proof of an account's address, and what ends with it.

An address is proved when a link that went out by mail alone is used, or when a sign-in provider says that it has verified the
address. Before that, any client who held an invitation's link may have made the account and have given it a password. So the
first proof leaves the account to the user who brings it: password, sessions, links and API keys of before end.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from tidegate_web.auth.memory import CallerMemory
from tidegate_web.store.queries import audit, keys, members, users
from tidegate_web.store.queries.keys import RevokedKeyRow


@dataclass(frozen=True, kw_only=True)
class EndedAccess:
    """What was made before the address was proved."""

    sessions: tuple[bytes, ...] = ()
    api_keys: tuple[RevokedKeyRow, ...] = ()

    def forget(self, callers: CallerMemory) -> None:
        """To be called after the commit: what Redis remembers of it goes too."""
        callers.forget(*self.sessions, *(row.key_hash for row in self.api_keys))


def prove(connection: Connection, *, user_id: int, now: datetime, actor: str, address: str) -> EndedAccess:
    """Note that an address is proved. The first time, end the access that was made before; nothing ends later."""
    before = users.locked(connection, user_id=user_id)
    if before.email_proved is not None:
        return EndedAccess()
    users.change(connection, user_id=user_id, values={"email_proved": now, "password_hash": None})
    ended = EndedAccess(
        sessions=tuple(users.close_sessions(connection, user_id=user_id)),
        api_keys=tuple(keys.revoke_owned(connection, owner_id=user_id, now=now)),
    )
    links = users.remove_password_links(connection, user_id=user_id)
    invitations = members.withdraw_by(connection, email=before.email)
    detail = {
        "password": before.has_password,
        "sessions": len(ended.sessions),
        "links": links,
        "invitations": invitations,
        "apiKeys": [row.prefix for row in ended.api_keys],
    }
    if any(detail.values()):
        audit.write(
            connection,
            actor=actor,
            address=address,
            action="user.first-proof",
            outcome="done",
            target=before.email,
            detail=detail,
        )
    return ended

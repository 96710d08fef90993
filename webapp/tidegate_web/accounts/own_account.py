"""What people do to their own accounts: another password, and the end of sessions."""

from dataclasses import dataclass
from zoneinfo import available_timezones

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor, Credential
from tidegate_web.auth.sign_out import end_sessions
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.store.queries import users
from tidegate_web.store.queries.users import AccountRow, SessionRow


@dataclass(frozen=True, kw_only=True)
class OwnSession:
    """A session of the actor. ``current``: the one that asks."""

    row: SessionRow
    current: bool


def account(made: Services, actor: Actor) -> AccountRow | None:
    """The actor's own account."""
    with made.engine.connect() as connection:
        return users.shown(connection, user_id=actor.user.id)


def change_password(made: Services, actor: Actor, *, current: str, new: str) -> None:
    """Replace one's own password; all other sessions end."""
    me, here = actor.user, _session(actor)
    if not made.settings.passwords:
        raise Problem(403, "Passwords are turned off here.")
    with audited(made, actor, "user.change-password", target=me.email):
        # By the session alone: failures elsewhere don't hold up a user who is signed in.
        limits = [made.settings.sign_in_limits.known(f"session:{here.digest.hex()}")]
        wait = made.auth.throttle.take(limits)
        if wait:
            raise Problem(429, "Too many wrong passwords.", headers={"Retry-After": str(wait)})
        with made.engine.begin() as connection:
            known = users.by_email(connection, me.email)
            right = made.auth.hasher.check(known.password_hash if known else None, current)
            if known is None or known.password_hash is None or not right:
                raise Problem(403, "That isn't your password.")
            made.auth.throttle.succeeded(limits)
            was, digest = known.password_hash, made.auth.hasher.hash(new)
            if not users.replace_password_hash(connection, user_id=me.id, was=was, password_hash=digest):
                raise Problem(409, "This password has just changed. Sign in again.")
        end_sessions(made, user_id=me.id, but=here.digest)


def choose_time_zone(made: Services, actor: Actor, zone: str | None) -> None:
    """Show the actor all times in a zone of the IANA database; None for their browser's."""
    if zone is not None and zone not in time_zones():
        raise invalid("zone", "must be a zone of the IANA database, such as Europe/Berlin")
    with (
        audited(made, actor, "user.time-zone", target=actor.user.email, detail={"zone": zone}),
        made.engine.begin() as connection,
    ):
        users.change(connection, user_id=actor.user.id, values={"time_zone": zone})


def time_zones() -> list[str]:
    """Those that can be chosen, by name."""
    return sorted(name for name in available_timezones() if "/" in name or name == "UTC")


def sessions(made: Services, actor: Actor) -> list[OwnSession]:
    """One's own sessions, the one used last first."""
    here = _session(actor).digest
    with made.engine.connect() as connection:
        idle = made.settings.session_idle
        rows = users.sessions(connection, user_id=actor.user.id, now=made.clock.now(), idle=idle)
    return [OwnSession(row=row, current=bytes(row.token_hash) == here) for row in rows]


def end_own_sessions(made: Services, actor: Actor, *, session_id: int | None = None) -> None:
    """Sign out one of one's sessions, or all others."""
    here = _session(actor).digest
    with audited(made, actor, "session.end", target="others" if session_id is None else str(session_id)):
        but = here if session_id is None else None
        ended = end_sessions(made, user_id=actor.user.id, session_id=session_id, but=but)
        if session_id is not None and not ended:
            raise Problem(404, "There is no such session.")


def _session(actor: Actor) -> Credential:
    """The session that asks: what is for people alone comes by one."""
    assert actor.credential is not None
    return actor.credential

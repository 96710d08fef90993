"""Groups are looked at again while a session lasts, so that who leaves a group loses what it gave within the hour.

A session through a provider that gave a refresh token has a time by which the groups must be asked for again. They are from
three quarters of it on, by whichever web process serves the session next; one request asks, and those beside it wait for the
answer. A provider that refuses ends the session. One that is away ends nothing, but past its time the session is no good until
the provider answers. A process without providers, as that of the streams, goes by the time alone.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import requests
import structlog
from joserfc.errors import JoseError
from sqlalchemy import Connection, Engine

from tidegate_web.auth.changed_rights import tokens_of
from tidegate_web.auth.group_roles import follow_groups
from tidegate_web.auth.memory import CallerMemory
from tidegate_web.auth.providers import OAuthError, Person, Provider, SignInRefusedError
from tidegate_web.settings import WebSettings
from tidegate_web.shared.sealing import Sealer
from tidegate_web.store.queries import audit, users
from tidegate_web.store.queries.users import AccountRow, GroupSessionRow

log = structlog.stdlib.get_logger(__name__)

AGAIN_SECONDS = 30
"""So long a provider that didn't answer for a session isn't asked again for it."""


class GroupCheck:
    """Asks providers again."""

    def __init__(
        self,
        *,
        engine: Engine,
        settings: WebSettings,
        sealer: Sealer,
        callers: CallerMemory,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._callers = callers
        self._settings = settings
        self._sealer = sealer
        self._now = now
        self._providers: Mapping[str, Provider] = {}

    def use(self, providers: Mapping[str, Provider]) -> None:
        """Those of the app, which come later than what it works with."""
        self._providers = providers

    def is_time(self, due: datetime) -> bool:
        """Whether groups that must be known again by ``due`` are to be asked for by now."""
        return self._now() > due - timedelta(seconds=self._settings.oidc_recheck_seconds / 4)

    def still_good(self, token_hash: bytes) -> bool:
        """Whether a session's groups are known well enough, after they were asked for where it is time."""
        with self._engine.begin() as connection:
            good, changed = self._look(connection, token_hash)
        self._callers.forget(*changed)
        return good

    def _look(self, connection: Connection, token_hash: bytes) -> tuple[bool, Sequence[bytes]]:
        """The same, and what is to be forgotten after the commit."""
        row = users.session_groups(connection, token_hash=token_hash)
        now = self._now()
        if row is None:
            return False, ()
        if not self._may_ask(row, now=now):
            return now < row.groups_due, ()
        # Other requests of the session wait here, and then find them known.
        user = users.locked(connection, user_id=row.user_id)
        row = users.session_groups(connection, token_hash=token_hash)
        if row is None:
            return False, ()
        if not self._may_ask(row, now=now):
            return now < row.groups_due, ()
        return self._ask(connection, token_hash, row, user, now=now)

    def _may_ask(self, row: GroupSessionRow, *, now: datetime) -> bool:
        tried_lately = row.groups_tried is not None and now < row.groups_tried + timedelta(seconds=AGAIN_SECONDS)
        return row.provider in self._providers and self.is_time(row.groups_due) and not tried_lately

    def _ask(
        self, connection: Connection, token_hash: bytes, row: GroupSessionRow, user: AccountRow, *, now: datetime
    ) -> tuple[bool, Sequence[bytes]]:
        token = self._sealer.open(row.refresh_token)
        try:
            if token is None:
                raise SignInRefusedError("The refresh token was sealed with another key.")
            person = self._providers[row.provider].again(token)
            known = users.by_identity(connection, provider=row.provider, subject=person.subject)
            if known is None or known.id != user.id:
                raise SignInRefusedError("The provider's answer is about another user.")
        except (OAuthError, SignInRefusedError) as error:
            users.close_session(connection, token_hash=token_hash)
            audit.write(
                connection,
                actor=row.provider,
                address="",
                action="session.end",
                outcome="done",
                target=user.email,
                detail={"why": str(error)},
            )
            return False, ()
        except (requests.RequestException, JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("a sign-in provider fails", provider=row.provider, error=str(error))
            users.change_session(connection, token_hash=token_hash, values={"groups_tried": now})
            return now < row.groups_due, ()
        follow_groups(connection, mapping=self._settings.group_roles, user=user, groups=person.groups)
        users.change_session(connection, token_hash=token_hash, values=self._renewed(person, row, now=now))
        return True, tokens_of(connection, user_id=user.id)

    def _renewed(self, person: Person, row: GroupSessionRow, *, now: datetime) -> dict[str, object]:
        token = row.refresh_token if person.refresh_token is None else self._sealer.seal(person.refresh_token)
        due = now + timedelta(seconds=self._settings.oidc_recheck_seconds)
        return {"refresh_token": token, "groups_due": due, "groups_tried": None}

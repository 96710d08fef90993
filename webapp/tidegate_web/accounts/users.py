"""Users, as admins of the installation see and change them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.auth.changed_rights import tokens_of
from tidegate_web.auth.leaving import part_from_keys
from tidegate_web.auth.links import Sent, hand_over, password_link, password_mail
from tidegate_web.auth.sign_out import end_sessions
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import keys, users
from tidegate_web.store.queries.keys import OwnedKeyRow
from tidegate_web.store.queries.users import AccountRow

TAKEN = "Another user has this address already."


@dataclass(frozen=True, kw_only=True)
class AccountChange:
    """What changes; what is None stays."""

    email: str | None = None
    name: str | None = None
    instance_admin: bool | None = None
    disabled: bool | None = None
    keys_to: int | None = None
    """With ``disabled``: the user who takes over the API keys; without it the keys end."""

    def as_detail(self) -> JsonObject:
        """For the audit log."""
        named: JsonObject = {
            "email": self.email,
            "name": self.name,
            "instanceAdmin": self.instance_admin,
            "disabled": self.disabled,
            "keysTo": self.keys_to,
        }
        return {name: value for name, value in named.items() if value is not None}


def listed(made: Services, *, after: int, limit: int) -> list[AccountRow]:
    """Users in the order in which they were created."""
    with made.engine.connect() as connection:
        return users.listed(connection, after=after, limit=limit)


def find(made: Services, user_id: int) -> AccountRow:
    """One user, also a disabled one."""
    with made.engine.connect() as connection:
        row = users.shown(connection, user_id=user_id)
    if row is None:
        raise _no_user()
    return row


def find_by_email(made: Services, email: str) -> AccountRow | None:
    """The user who has this address, also a disabled one."""
    with made.engine.connect() as connection:
        return users.any_by_email(connection, email)


def with_keys(made: Services, user_id: int) -> tuple[AccountRow, list[OwnedKeyRow]]:
    """One user, and the API keys that they answer for."""
    with made.engine.connect() as connection:
        row = users.shown(connection, user_id=user_id)
        if row is None:
            raise _no_user()
        return row, keys.owned(connection, owner_id=user_id)


def create(
    made: Services, actor: Actor, *, email: str, name: str, instance_admin: bool, base: str
) -> tuple[AccountRow, Sent]:
    """Create a user, and the link with which they choose a password. ``base``: how the link begins."""
    with audited(made, actor, "user.create", target=email, detail={"instanceAdmin": instance_admin}):
        with made.engine.begin() as connection:
            user_id = users.create(
                connection,
                email=email,
                name=name or email.partition("@")[0],
                password_hash=None,
                instance_admin=instance_admin,
            )
            if user_id is None:
                raise Problem(409, TAKEN)
            seconds = made.settings.link_seconds
            link = password_link(made, connection, user_id=user_id, seconds=seconds, base=base)
            row = users.shown(connection, user_id=user_id)
        assert row is not None
        subject, text = password_mail(link)
        return row, hand_over(made, to=email, subject=subject, text=text, link=link, may_see=True)


def change(made: Services, actor: Actor, user_id: int, change: AccountChange) -> AccountRow:
    """Rename, disable or enable a user, give them another address, make them an admin of the installation or no longer one."""
    ended: Sequence[bytes] = ()
    with audited(made, actor, "user.change", target=str(user_id), detail=change.as_detail()):
        with made.engine.begin() as connection:
            if users.shown(connection, user_id=user_id) is None:
                raise _no_user()
            row = users.locked(connection, user_id=user_id)
            loses = row.instance_admin and (change.instance_admin is False or change.disabled)
            if loses and not users.other_admins(connection, than=user_id):
                raise Problem(409, "This is the last admin of the installation.")
            values: JsonObject = {}
            if change.name is not None:
                values["name"] = change.name
            if change.email is not None and change.email != row.email:
                if users.any_by_email(connection, change.email) is not None:
                    raise Problem(409, TAKEN)
                values |= {"email": change.email, "email_proved": None}
            if change.instance_admin is not None:
                values["instance_admin"] = change.instance_admin
            if change.disabled is not None and change.disabled != (row.disabled_at is not None):
                values["disabled_at"] = made.clock.now() if change.disabled else None
            if values:
                users.change(connection, user_id=user_id, values=values)
            if change.disabled:
                ended = part_from_keys(
                    connection,
                    owner=row,
                    to=change.keys_to,
                    now=made.clock.now(),
                    actor=actor.name,
                    address=actor.address,
                )
            if change.instance_admin is False:
                ended = [*ended, *tokens_of(connection, user_id=user_id)]
            row = users.locked(connection, user_id=user_id)
        # What Redis remembers of them says what they were.
        made.auth.callers.forget(*ended)
        if change.disabled or change.instance_admin is False:
            end_sessions(made, user_id=user_id)
        return row


def reset_password(made: Services, actor: Actor, user_id: int, *, base: str) -> Sent:
    """A link with which a user chooses a new password."""
    with audited(made, actor, "user.reset-password", target=str(user_id)):
        with made.engine.begin() as connection:
            row = users.shown(connection, user_id=user_id)
            if row is None or row.disabled_at is not None:
                raise _no_user()
            seconds = made.settings.password_link_seconds
            link = password_link(made, connection, user_id=user_id, seconds=seconds, base=base)
        subject, text = password_mail(link)
        return hand_over(made, to=row.email, subject=subject, text=text, link=link, may_see=True)


def _no_user() -> Problem:
    return Problem(404, "There is no such user.")

"""Links that are good once: to set a password, and to join a project.

Where there is a mail server they go out by mail alone, so that the user of one has shown that the mailbox is theirs. Else an
admin of the installation who asks for one gets it to pass on. No other user does: with the link of an invitation to
another address one could make an account in their name.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NotRequired

from sqlalchemy import Connection
from typing_extensions import TypedDict

from tidegate_web.auth.mail import MailError
from tidegate_web.auth.tokens import new_token, token_hash
from tidegate_web.services import Services
from tidegate_web.shared.documented import documented
from tidegate_web.store.queries import users


@documented
class SentLink(TypedDict):
    """What became of a link."""

    mailed: bool
    link: NotRequired[str]
    """To be passed on by hand; for admins of the installation, where there is no mail server."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of a link: mailed, else to be passed on by hand, where it may be shown."""

    mailed: bool
    link: str | None
    mail_failed: bool = False

    def as_json(self) -> SentLink:
        return {"mailed": self.mailed} if self.link is None else {"mailed": self.mailed, "link": self.link}


def password_page(base: str, token: str) -> str:
    """Where a password is chosen, at the site that begins so."""
    return f"{base}/password/{token}"


def invitation_page(base: str, token: str) -> str:
    """Where an invitation is accepted."""
    return f"{base}/invitations/{token}"


def hand_over(made: Services, *, to: str, subject: str, text: str, link: str, may_see: bool) -> Sent:
    """Mail a link; without a mail server return it to the caller, if they ``may_see`` it."""
    if not made.auth.mailer.configured:
        return Sent(mailed=False, link=link if may_see else None)
    try:
        made.auth.mailer.send(to=to, subject=subject, text=text)
    except MailError:
        return Sent(mailed=False, link=None, mail_failed=True)
    return Sent(mailed=True, link=None)


def password_link(made: Services, connection: Connection, *, user_id: int, seconds: int, base: str) -> str:
    """A new link with which this user sets a password; those from before are worth nothing any more."""
    token = new_token()
    users.remove_password_links(connection, user_id=user_id)
    keep_password_link(made, connection, token=token, user_id=user_id, seconds=seconds)
    return password_page(base, token)


def keep_password_link(made: Services, connection: Connection, *, token: str, user_id: int, seconds: int) -> None:
    """Let a link with this token set the user's password. The links from before stay: a client who asks for more must not be able to
    make worthless what the user has just been mailed."""
    expires = made.clock.now() + timedelta(seconds=seconds)
    users.add_password_link(
        connection,
        token_hash=token_hash(token),
        user_id=user_id,
        expires=expires,
        mailed=made.auth.mailer.configured,
    )


def password_mail(link: str) -> tuple[str, str]:
    """Subject and text of the mail with such a link."""
    text = (
        f"With this link you choose a password for Tidegate. It is good once:\n\n{link}\n\n"
        "If you didn't ask for it, nothing happens until the link is opened, and you can ignore this mail.\n"
    )
    return "Choose your password for Tidegate", text


def invitation_mail(link: str, *, project: str, role: str, by: str) -> tuple[str, str]:
    """Subject and text of the mail with an invitation."""
    text = (
        f"{by} invites you to the project {project} on Tidegate, as {role}. With this link you join; it is good "
        f"once:\n\n{link}\n"
    )
    return f"Join {project} on Tidegate", text

"""Links that are good once: to set a password, and to join a project. Mailed where there is a mail server; else whoever
asked for one gets it to pass on.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NotRequired

from flask import request, url_for
from sqlalchemy import Connection
from typing_extensions import TypedDict

from tidegate_web.auth.tokens import new_token, token_hash
from tidegate_web.mail import MailError
from tidegate_web.openapi.schemas import documented
from tidegate_web.services import Services
from tidegate_web.store.queries import users


@documented
class SentLink(TypedDict):
    """What became of a link."""

    mailed: bool
    link: NotRequired[str]
    """To be passed on by hand, where it wasn't mailed."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of a link: mailed, else to be passed on by hand."""

    mailed: bool
    link: str | None

    def as_json(self) -> SentLink:
        return {"mailed": self.mailed} if self.link is None else {"mailed": self.mailed, "link": self.link}


def address_of(made: Services, endpoint: str, **values: Any) -> str:
    """A whole URL of ours. Without a public address it begins with the one that this request came to, which only
    those may be shown who made the request."""
    base = made.settings.public_url.rstrip("/") or request.host_url.rstrip("/")
    return base + url_for(endpoint, **values)


def hand_over(made: Services, *, to: str, subject: str, text: str, link: str) -> Sent:
    """Mail a link, or give it back when that can't be done."""
    if made.mailer.configured:
        try:
            made.mailer.send(to=to, subject=subject, text=text)
        except MailError:
            return Sent(mailed=False, link=link)
        return Sent(mailed=True, link=None)
    return Sent(mailed=False, link=link)


def password_link(made: Services, connection: Connection, *, user_id: int) -> str:
    """A new link with which this user sets a password."""
    token = new_token()
    expires = made.clock.now() + timedelta(seconds=made.settings.link_seconds)
    users.add_password_link(connection, token_hash=token_hash(token), user_id=user_id, expires=expires)
    return address_of(made, "auth.choose_password", token=token)


def password_mail(link: str) -> tuple[str, str]:
    """Subject and text of the mail with such a link."""
    text = (
        f"With this link you choose a password for Tidegate. It is good once:\n\n{link}\n\n"
        "If you didn't ask for it, nothing happens until somebody opens it, and you can ignore this mail.\n"
    )
    return "Choose your password for Tidegate", text


def invitation_mail(link: str, *, project: str, role: str, by: str) -> tuple[str, str]:
    """Subject and text of the mail with an invitation."""
    text = (
        f"{by} invites you to the project {project} on Tidegate, as {role}. With this link you join; it is good "
        f"once:\n\n{link}\n"
    )
    return f"Join {project} on Tidegate", text

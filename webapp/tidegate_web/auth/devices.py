"""Devices from which a user has signed in with a password before: a signed cookie that lasts, and opens nothing.

It spares its device the counts of other people's failures, so that no user is locked out by guesses that others make. It is
bound to the password: a new one makes all other devices unknown again.
"""

import hashlib
import secrets
from dataclasses import dataclass, field

from flask import Response, after_this_request, request
from itsdangerous import BadData, URLSafeTimedSerializer

from tidegate_web.auth.cookies import cookie_name, is_secure
from tidegate_web.settings import WebSettings
from tidegate_web.store.queries.users import UserRow

COOKIE = "tidegate-device"
SECONDS = 180 * 86400
MOST_ACCOUNTS = 5


@dataclass(frozen=True, kw_only=True)
class Device:
    """A browser, and the accounts that it is known for."""

    id: str
    accounts: dict[str, str] = field(default_factory=dict)
    """A digest of the password's hash, by the user's id."""

    def knows(self, user: UserRow) -> bool:
        mark = _mark(user)
        return mark is not None and self.accounts.get(str(user.id)) == mark


def device_of_request(settings: WebSettings) -> Device | None:
    """The device that asks; None for one without a cookie of ours."""
    text = request.cookies.get(cookie_name(settings, COOKIE))
    if text is None:
        return None
    try:
        content = _signer(settings).loads(text, max_age=SECONDS)
        return Device(id=str(content["id"]), accounts=dict(content["accounts"]))
    except (BadData, KeyError, TypeError, ValueError):
        return None


def remember_device(settings: WebSettings, user: UserRow) -> None:
    """The device that asks has signed this user in with their password."""
    mark = _mark(user)
    if mark is None:
        return
    known = device_of_request(settings) or Device(id=secrets.token_urlsafe(16))
    others = [(each, digest) for each, digest in known.accounts.items() if each != str(user.id)]
    accounts = dict([*others[-(MOST_ACCOUNTS - 1) :], (str(user.id), mark)])
    text = _signer(settings).dumps({"id": known.id, "accounts": accounts})

    @after_this_request
    def add_cookie(response: Response) -> Response:
        response.set_cookie(
            cookie_name(settings, COOKIE),
            text if isinstance(text, str) else text.decode(),
            max_age=SECONDS,
            httponly=True,
            samesite="Lax",
            secure=is_secure(settings),
        )
        return response


def _mark(user: UserRow) -> str | None:
    return None if user.password_hash is None else hashlib.sha256(user.password_hash.encode()).hexdigest()[:32]


def _signer(settings: WebSettings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(settings.require_secret_key(), salt="tidegate device")

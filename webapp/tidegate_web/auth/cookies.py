"""How our cookies are sent: over https alone where people come by https, and then with the prefix ``__Host-``, by which a
browser takes them from this host alone, never from a neighbour of its domain.
"""

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface

from tidegate_web.settings import WebSettings

HOST_PREFIX = "__Host-"
SESSION = "tidegate"
HSTS_SECONDS = 365 * 86400


def is_secure(settings: WebSettings) -> bool:
    """Whether people come by https: the settings say so, or this request came so, to us or to a trusted proxy."""
    return settings.secure_cookies or request.is_secure


def cookie_name(settings: WebSettings, name: str) -> str:
    """The name that a cookie of ours has in this request. Over https one without the prefix doesn't count: a neighbour of the
    domain, or an attacker on an unencrypted connection, could have set it."""
    return HOST_PREFIX + name if is_secure(settings) else name


def tell_hsts(settings: WebSettings, response: Response) -> Response:
    """Have a browser that came by https never come by http again."""
    if is_secure(settings):
        response.headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_SECONDS}")
    return response


class SessionCookie(SecureCookieSessionInterface):
    """Flask's signed session cookie, named and marked as each request needs it."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings

    def get_cookie_name(self, app: Flask) -> str:
        del app
        return cookie_name(self._settings, SESSION)

    def get_cookie_secure(self, app: Flask) -> bool:
        del app
        return is_secure(self._settings)

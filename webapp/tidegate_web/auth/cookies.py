"""How our cookies are sent: over https alone where people come by https, and then with the prefix ``__Host-``, by which a
browser takes them from this host alone, never from a neighbour of its domain.
"""

from flask import request

from tidegate_web.settings import WebSettings

HOST_PREFIX = "__Host-"


def is_secure(settings: WebSettings) -> bool:
    """Whether people come by https: the settings say so, or this request came so, to us or to a trusted proxy."""
    return settings.secure_cookies or request.is_secure


def cookie_name(settings: WebSettings, name: str) -> str:
    """The name that a cookie of ours has in this request."""
    return HOST_PREFIX + name if is_secure(settings) else name

"""Where links to this site begin."""

from flask import request

from tidegate_web.services import Services


def base_url(made: Services) -> str:
    """Scheme and host of our own addresses. Without a public address it is the one that this request came to; links that begin so
    may be shown only to those who made the request."""
    return made.settings.public_url.rstrip("/") or request.host_url.rstrip("/")

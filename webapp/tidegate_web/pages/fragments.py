"""The part of a page that changes: rendered alone when the page's script asks for it."""

from flask import request


def fragment_wanted() -> bool:
    """Whether the page's script asks for the part that changes."""
    return request.headers.get("X-Fragment") == "1"

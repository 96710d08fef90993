"""The part of a page that changes: rendered alone when the page's script asks for it, and from which event on it is followed."""

from flask import request
from redis.exceptions import RedisError

from tidegate_web.current_app import services


def fragment_wanted() -> bool:
    """Whether the page's script asks for the part that changes."""
    return request.headers.get("X-Fragment") == "1"


def last_event(project: str) -> int | None:
    """The number of the newest event before a page is rendered, so that its stream goes on from there; None without
    Redis, where the page polls."""
    try:
        return services().events.last(project)
    except RedisError:
        return None

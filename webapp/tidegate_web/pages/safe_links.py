"""Which addresses that a task has written may become links. The task is hostile until its text is parsed. Pure."""

from typing import Final
from urllib.parse import urlsplit

from markupsafe import Markup

MOST_CHARACTERS: Final = 2000
SCHEMES: Final = ("http", "https", "mailto")


def is_safe(href: str) -> bool:
    """Whether it is a whole address of the web or of a mailbox. A path within Tidegate is none: a click on it would act for the viewer."""
    if not 0 < len(href) <= MOST_CHARACTERS or any(letter <= " " or letter == "\x7f" for letter in href):
        return False
    try:
        parts = urlsplit(href)
    except ValueError:
        return False
    return parts.scheme in SCHEMES and bool(parts.path if parts.scheme == "mailto" else parts.hostname)


def opening(href: str) -> Markup:
    """The opening tag of a link that leads out of Tidegate."""
    return Markup('<a href="{}" rel="noopener noreferrer nofollow">').format(href)

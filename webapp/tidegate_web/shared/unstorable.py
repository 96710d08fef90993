"""What no store here takes, refused at the door with 422 and its place: NUL, and half characters.

Postgres refuses NUL in text and jsonb, and Redis and the cluster have no use for it. So it is no part of any name, filter or body.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes

from flask import Request

from tidegate_web.shared.problems import FieldError, Problem

MOST_NAMED = 10
"""Places in a body that are named in one answer."""
NUL = "has a NUL character"
HALF = "has text that isn't valid Unicode"


def check_address(request: Request) -> None:
    """422 for NUL in the path or in the query."""
    if "\x00" in request.path:
        raise Problem(422, f"The path {NUL}.", errors=[{"field": "path", "message": NUL}])
    if b"\x00" in unquote_to_bytes(request.query_string):
        named = [
            key.replace("\x00", "\ufffd")
            for key, values in request.args.lists()
            if "\x00" in key or any("\x00" in value for value in values)
        ]
        raise Problem(422, f"The query {NUL}.", errors=[{"field": key, "message": NUL} for key in named[:MOST_NAMED]])


def check_form(request: Request) -> None:
    """422 for NUL in a form of a page."""
    named = [key for key, values in request.form.lists() if any("\x00" in text for text in (key, *values))]
    if named:
        raise Problem(422, f"The form {NUL}.", errors=[{"field": key, "message": NUL} for key in named[:MOST_NAMED]])


def check_json(text: str, value: object, *, nul_too: bool = False) -> None:
    """422 for half a character, and unless ``nul_too`` for NUL, in any key or text of a JSON body."""
    lowered = text.lower()
    if "\\u0000" not in lowered and "\\ud" not in lowered:
        return
    errors = [error for _, error in zip(range(MOST_NAMED), _unstorable(value, nul_too=nul_too), strict=False)]
    if errors:
        raise Problem(422, f"{errors[0]['field'] or 'The body'} {errors[0]['message']}.", errors=errors)


def _unstorable(body: object, *, nul_too: bool) -> Iterator[FieldError]:
    places: list[tuple[str, object]] = [("", body)]
    while places:
        place, value = places.pop()
        if isinstance(value, str):
            if (wrong := _wrong(value, nul_too=nul_too)) is not None:
                yield {"field": place, "message": wrong}
        elif isinstance(value, Mapping):
            for key, item in value.items():
                inner = f"{place}.{key}" if place else key
                if (wrong := _wrong(key, nul_too=nul_too)) is not None:
                    yield {"field": _shown(inner), "message": wrong}
                places.append((_shown(inner), item))
        elif isinstance(value, list):
            places += [(f"{place}.{number}" if place else str(number), item) for number, item in enumerate(value)]


def _wrong(text: str, *, nul_too: bool) -> str | None:
    if "\x00" in text and not nul_too:
        return NUL
    try:
        text.encode()
    except UnicodeEncodeError:
        return HALF
    return None


def _shown(place: str) -> str:
    return place.replace("\x00", "\ufffd").encode("utf-8", errors="replace").decode()

"""What may stand in a path beside words: names, and the numbers of rows."""

from flask import Flask
from werkzeug.routing import BaseConverter, IntegerConverter

LARGEST_ID = 10**15 - 1
"""Of as many digits as everything that reads JSON takes for what they are."""


class Name(BaseConverter):
    """A name, a uid or a token. None has a colon, so that an act behind one is no part of it: GET of ``runs/x:cancel`` is no
    look at a run, but a method that there isn't."""

    regex = r"[^/:]+"


class RowId(IntegerConverter):
    """A row's number in a path; what is beyond all numbers that we give is no path of ours.

    Said by the expression alone: of a number out of bounds werkzeug answers with 405 where the path has other methods.
    """

    regex = r"[1-9][0-9]{0,14}"


def add_converters(app: Flask) -> None:
    """Let routes have ``<NAME>`` and ``<id:NAME>``."""
    app.url_map.converters["default"] = Name
    app.url_map.converters["id"] = RowId

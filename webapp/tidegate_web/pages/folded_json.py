"""JSON that folds: objects and lists open and close without a script, and the text of it all is the JSON again, to be copied. Pure."""

import json
from collections.abc import Iterator
from typing import Final

from markupsafe import Markup, escape

from tidegate_web.pages import formatting
from tidegate_web.shared.json_types import is_object

MOST_VALUES: Final = 4000
"""What has more is shown as text: an element for each value makes a page slow."""

DEEPEST: Final = 40
OPEN_LEVELS: Final = 2
OPEN_ITEMS: Final = 30
"""What is nested deeper, or has more, begins closed."""


def folded(value: object) -> Markup:
    """The JSON of a value. What is too much for elements is plain text."""
    if not _fits(value):
        return Markup('<pre class="tg-json">{}</pre>').format(formatting.pretty(value))
    return (
        Markup('<div class="tg-folded" dir="ltr">') + Markup("").join(_lines(value, "", "", level=0)) + Markup("</div>")
    )


def _fits(value: object) -> bool:
    left, waiting = MOST_VALUES, [(value, 0)]
    while waiting:
        each, level = waiting.pop()
        inner = list(each.values()) if is_object(each) else each if isinstance(each, list) else []
        left -= 1 + len(inner)
        if left < 0 or level > DEEPEST:
            return False
        waiting += [(one, level + 1) for one in inner]
    return True


def _lines(value: object, key: str, comma: str, *, level: int) -> Iterator[Markup]:
    """A value in a line of its own. Line breaks and indents are white space to the browser, and there to be copied."""
    indent, name = "  " * level, Markup("")
    if key:
        name = Markup('<b dir="auto">{}</b>: ').format(key)
    if not isinstance(value, dict | list) or not value:
        yield Markup("<div>{}{}{}{}</div>\n").format(indent, name, _scalar(value), comma)
        return
    if is_object(value):
        (opening, closing), noun = "{}", "key"
        inner = [(_text(name), each) for name, each in value.items()]
    else:
        (opening, closing), noun = "[]", "item"
        inner = [("", each) for each in value] if isinstance(value, list) else []
    count = f"{len(inner)} {noun}{'' if len(inner) == 1 else 's'}"
    is_open = (level < OPEN_LEVELS and len(inner) <= OPEN_ITEMS) or level == 0
    yield Markup('<details{}><summary data-count="{}">{}{}{}</summary>\n').format(
        Markup(" open") if is_open else "", count, indent, name, opening
    )
    for index, (inner_key, each) in enumerate(inner, start=1):
        yield from _lines(each, inner_key, "," if index < len(inner) else "", level=level + 1)
    yield Markup("<div>{}{}{}</div></details>\n").format(indent, closing, comma)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _scalar(value: object) -> Markup:
    kind = "text" if isinstance(value, str) else "other"
    return Markup('<span class="tg-value-{}">{}</span>').format(kind, escape(_text(value)))

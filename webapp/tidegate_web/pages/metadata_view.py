"""What a task shows on the page of its run: blocks under one key of its metadata, each checked before it is drawn.

A block that isn't as documented is shown as JSON with what is wrong with it, so that its author finds the mistake. Pure.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from tidegate_api.names import VIEW_KEY

from tidegate_web.pages import safe_links
from tidegate_web.pages.folded_json import folded
from tidegate_web.pages.image_data import MOST_PIXELS, size_of
from tidegate_web.pages.markdown import TABLE_CLOSING, TABLE_OPENING, cost_of, markdown
from tidegate_web.shared.json_types import JsonObject, is_object

MOST_BLOCKS: Final = 50
MOST_MARKDOWN: Final = 10_000
"""Characters of all blocks of a view together: the page is made again at each change."""
MOST_COLUMNS: Final = 30
MOST_CELLS: Final = 3000
MOST_WORDS: Final = 500
"""Characters of a text that stands for a link or an image, or above a table."""

_END: Final = Markup(' class="text-end tabular"')
"""Of numbers, and of the names of columns that have nothing else."""
HEADINGS_BELOW: Final = 2
"""The level of the heading above the view."""


class BlockError(ValueError):
    """What a block should be, and isn't."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a view. What is wrong with it, where it is not as documented."""

    html: Markup
    problem: str = ""


def view_of(metadata: Mapping[str, object]) -> list[Block] | None:
    """The blocks that a run's metadata asks for; None where it asks for none."""
    if VIEW_KEY not in metadata:
        return None
    asked = metadata[VIEW_KEY]
    if not isinstance(asked, list):
        return [_refused(asked, "The view must be a list of blocks.")]
    left, blocks = MOST_MARKDOWN, []
    for number, each in enumerate(asked[:MOST_BLOCKS], start=1):
        try:
            cost = _markdown_cost(each)
            if cost > left:
                raise BlockError(
                    f"the view has more than {MOST_MARKDOWN} characters of markdown, brackets and cells counted more"
                )
            left -= cost
            blocks.append(Block(html=_html(each)))
        except BlockError as error:
            blocks.append(_refused(each, f"Block {number}: {error}."))
    if len(asked) > MOST_BLOCKS:
        rest = asked[MOST_BLOCKS:]
        blocks.append(_refused(rest, f"The view has more than {MOST_BLOCKS} blocks. These are left."))
    return blocks


def _refused(value: object, problem: str) -> Block:
    return Block(html=folded(value), problem=problem)


def _markdown_cost(block: object) -> int:
    text = block.get("text") if is_object(block) and block.get("type") == "markdown" else ""
    return cost_of(text) if isinstance(text, str) else 0


def _html(block: object) -> Markup:
    if not is_object(block):
        raise BlockError("it must be an object")
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BlockError(f"its type must be {', '.join(list(_KINDS)[:-1])} or {list(_KINDS)[-1]}")
    made, keys = _KINDS[kind]
    unknown = sorted(set(block) - keys - {"type"})
    if unknown:
        raise BlockError(f"a block of type {kind} can't have the key {json.dumps(unknown[0], ensure_ascii=False)}")
    return made(block)


def _text(block: JsonObject, key: str, *, most: int, default: str | None = None) -> str:
    value = block.get(key, default)
    if not isinstance(value, str):
        raise BlockError(f"{key} must be a text")
    if len(value) > most:
        raise BlockError(f"{key} has more than {most} characters")
    return value


def _markdown(block: JsonObject) -> Markup:
    return markdown(_text(block, "text", most=MOST_MARKDOWN), below=HEADINGS_BELOW)


def _link(block: JsonObject) -> Markup:
    href = _href(block, "href")
    words = _text(block, "text", most=MOST_WORDS, default="").strip() or href
    return _paragraph(href, words)


def _paragraph(href: str, words: str) -> Markup:
    return Markup("<p>{}<bdi>{}</bdi></a></p>").format(safe_links.opening(href), words)


def _href(block: JsonObject, key: str) -> str:
    href = _text(block, key, most=safe_links.MOST_CHARACTERS)
    if not safe_links.is_safe(href):
        raise BlockError(f"{key} must be an address that begins with http:, https: or mailto:")
    return href


def _image(block: JsonObject) -> Markup:
    alt = _text(block, "alt", most=MOST_WORDS)
    source = block.get("src")
    if not isinstance(source, str) or not source.startswith("data:"):
        # The page loads nothing from other hosts.
        return _paragraph(_href(block, "src"), alt.strip() or "Image")
    size = size_of(source)
    if size is None:
        limit = f"{MOST_PIXELS // 1_000_000} million pixels"
        raise BlockError(f"src must be a PNG, JPEG, GIF or WebP of at most {limit}: data:image/png;base64,…")
    attributes = Markup('width="{}" height="{}" alt="{}" dir="auto"').format(size.width, size.height, alt)
    return Markup('<p><img src="{}" {}></p>').format(source, attributes)


def _table(block: JsonObject) -> Markup:
    columns, rows = block.get("columns"), block.get("rows")
    caption = _text(block, "caption", most=MOST_WORDS, default="").strip()
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
        raise BlockError("columns must be a list of texts")
    if not isinstance(rows, list):
        raise BlockError("rows must be a list of rows")
    if len(columns) > MOST_COLUMNS:
        raise BlockError(f"it has more than {MOST_COLUMNS} columns")
    if len(columns) * len(rows) > MOST_CELLS:
        raise BlockError(f"it has more than {MOST_CELLS} cells")
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(_row(row, number, columns=len(columns)))
        for number, row in enumerate(rows, start=1)
    )
    head = Markup("").join(
        Markup('<th scope="col" dir="auto"{}>{}</th>').format(_END if _is_numeric(rows, at) else "", name)
        for at, name in enumerate(columns)
    )
    above = Markup('<caption dir="auto">{}</caption>').format(caption) if caption else Markup("")
    inner = Markup("{}<thead><tr>{}</tr></thead><tbody>{}</tbody>").format(above, head, body)
    return TABLE_OPENING + inner + TABLE_CLOSING


def _is_numeric(rows: list[list[object]], at: int) -> bool:
    kinds = {type(row[at]) for row in rows} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _row(row: object, number: int, *, columns: int) -> Markup:
    if not isinstance(row, list):
        raise BlockError(f"row {number} must be a list")
    if len(row) != columns:
        raise BlockError(f"row {number} has {len(row)} cells for {columns} columns")
    return Markup("").join(_cell(value, number) for value in row)


def _cell(value: object, number: int) -> Markup:
    if value is None:
        return Markup("<td></td>")
    if isinstance(value, str):
        return Markup('<td dir="auto">{}</td>').format(value)
    if isinstance(value, bool | int | float):
        opening = Markup("<td>") if isinstance(value, bool) else Markup("<td{}>").format(_END)
        return opening + json.dumps(value) + Markup("</td>")
    raise BlockError(f"row {number} has a cell that is neither a text, a number, true, false nor null")


_KINDS: Final[Mapping[str, tuple[Callable[[JsonObject], Markup], frozenset[str]]]] = {
    "markdown": (_markdown, frozenset({"text"})),
    "table": (_table, frozenset({"columns", "rows", "caption"})),
    "link": (_link, frozenset({"href", "text"})),
    "image": (_image, frozenset({"src", "alt"})),
}

"""Markdown of tasks as HTML. A task is hostile: this module writes each tag itself, and what it doesn't know is text.

The library parses only. Its own renderer would pass on attributes (styles, classes, relative links) that the page's
Content-Security-Policy or we don't allow. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from tidegate_web.pages import safe_links

CELL_COST: Final = 3
BRACKET_COST: Final = 10
LAST_HEADING: Final = 6
_PARAGRAPH_END: Final = re.compile(r"\n[ \t]*\n")
_BLOCKS: Final = {
    "paragraph": "p",
    "blockquote": "blockquote",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "thead": "thead",
    "tbody": "tbody",
    "tr": "tr",
    "th": "th",
    "td": "td",
    "em": "em",
    "strong": "strong",
    "s": "s",
}
_HAVE_DIRECTION: Final = {"p", "li", "th", "td"}
_ALIGNED: Final = {"text-align:right": "text-end", "text-align:center": "text-center"}
TABLE_OPENING: Final = Markup(
    '<div class="table-responsive" tabindex="0" role="group" aria-label="Table"><table class="table table-sm">'
)
TABLE_CLOSING: Final = Markup("</table></div>")


def cost_of(text: str) -> int:
    """How long parsing may take, in characters of ordinary text. The parser compares brackets with each other, and fills the
    short rows of a table."""
    cells = 0
    for part in _PARAGRAPH_END.split(text):
        lines = part.split("\n")
        cells += len(lines) * max(line.count("|") for line in lines)
    return max(len(text), CELL_COST * cells, BRACKET_COST * text.count("["))


def markdown(text: str, *, below: int) -> Markup:
    """The HTML of a text. Its headings begin one level below ``below`` and skip none, whatever the text says."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.disable(["html_block", "html_inline"])
    return Markup("").join(_Writer(below=below).all_of(parser.parse(text)))


class _Writer:
    """Writes tokens in their order, and remembers what encloses them."""

    def __init__(self, *, below: int) -> None:
        self._below = below
        self._level = below
        self._in_link = False
        self._opened_links: list[bool] = []

    def all_of(self, tokens: Sequence[Token]) -> Iterator[Markup]:
        for token in tokens:
            yield self._one(token)

    def _one(self, token: Token) -> Markup:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        if kind == "heading":
            return self._heading(token)
        if kind == "table":
            return TABLE_OPENING if token.nesting == 1 else TABLE_CLOSING
        if kind == "link":
            return self._link(token)
        if kind in _BLOCKS:
            return self._block(_BLOCKS[kind], token)
        return self._leaf(token)

    def _leaf(self, token: Token) -> Markup:
        match token.type:
            case "inline":
                return Markup("").join(self.all_of(token.children or []))
            case "fence" | "code_block":
                return Markup('<pre dir="auto"><code>{}</code></pre>\n').format(token.content)
            case "code_inline":
                return Markup("<code>{}</code>").format(token.content)
            case "hardbreak":
                return Markup("<br>\n")
            case "softbreak":
                return Markup("\n")
            case "hr":
                return Markup("<hr>\n")
            case "image":
                return self._image(token)
            case _:
                return escape(token.content)

    def _block(self, tag: str, token: Token) -> Markup:
        if token.hidden:  # the paragraph of an item in a tight list
            return Markup("")
        if token.nesting == -1:
            return Markup("</{}>").format(tag)
        start, align = token.attrGet("start"), _ALIGNED.get(str(token.attrGet("style")))
        attributes = Markup(' dir="auto"') if tag in _HAVE_DIRECTION else Markup("")
        if isinstance(start, int):
            attributes += Markup(' start="{}"').format(start)
        if align:
            attributes += Markup(' class="{}"').format(align)
        return Markup("<{}{}>").format(tag, attributes)

    def _heading(self, token: Token) -> Markup:
        if token.nesting == -1:
            return Markup("</h{}>\n").format(self._level)
        asked = self._below + int(token.tag.removeprefix("h"))
        self._level = min(asked, self._level + 1, LAST_HEADING)
        return Markup('<h{} dir="auto">').format(self._level)

    def _link(self, token: Token) -> Markup:
        if token.nesting == -1:
            self._in_link = False
            return Markup("</a>") if self._opened_links.pop() else Markup("")
        href = str(token.attrGet("href") or "")
        opened = safe_links.is_safe(href)
        self._opened_links.append(opened)
        self._in_link = opened
        return safe_links.opening(href) if opened else Markup("")

    def _image(self, token: Token) -> Markup:
        """Its description, as a link: an image would be loaded from another host, which would see who looks."""
        source = str(token.attrGet("src") or "")
        words = escape(token.content or "Image")
        if self._in_link or not safe_links.is_safe(source):
            return words
        return safe_links.opening(source) + words + Markup("</a>")

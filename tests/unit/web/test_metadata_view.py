"""What a task shows on the page of its run: documented blocks are drawn, all else is JSON with what is wrong. It writes no other tags."""

import base64
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tidegate_api.names import VIEW_KEY
from tidegate_web.pages.folded_json import folded
from tidegate_web.pages.markdown import markdown
from tidegate_web.pages.metadata_view import MOST_BLOCKS, MOST_CELLS, MOST_MARKDOWN, Block, view_of
from tidegate_web.pages.safe_links import is_safe

MARKDOWN_TAGS = (
    {"a", "br", "code", "div", "em", "hr", "li", "ol", "p", "pre", "s", "strong", "ul", "blockquote"}
    | {"h3", "h4", "h5", "h6"}
    | {"table", "tbody", "td", "th", "thead", "tr"}
)
TAGS = MARKDOWN_TAGS | {"b", "bdi", "caption", "details", "img", "span", "summary"}
ATTRIBUTES = {"alt", "aria-label", "class", "data-count", "dir", "height", "href"} | {
    "open",
    "rel",
    "role",
    "scope",
    "src",
    "start",
    "tabindex",
    "width",
}
VOID = {"br", "hr", "img"}
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (20).to_bytes(4) + (10).to_bytes(4) + b"\x08\0\0\0\0"


class Reader(HTMLParser):
    """Reads HTML as a browser would, and refuses what a task must not be able to write."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert set(given) <= ATTRIBUTES
        self.seen.add(tag)
        if tag == "a":
            assert "a" not in self.open
            assert given["rel"] == "noopener noreferrer nofollow"
            assert is_safe(given["href"] or "")
        if tag == "img":
            assert (given["src"] or "").startswith("data:image/")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    html.encode()
    return reader


def blocks(*asked: object) -> list[Block]:
    found = view_of({VIEW_KEY: list(asked)})
    assert found is not None
    return found


def block(**asked: object) -> str:
    [found] = blocks(asked)
    assert not found.problem
    return found.html


def problem(asked: object) -> str:
    [found] = blocks(asked)
    assert found.html == folded(asked)  # its author sees what it is
    return found.problem


def test_metadata_without_the_key_have_no_view() -> None:
    assert view_of({"rows": 3}) is None
    assert view_of({VIEW_KEY: []}) == []


def test_a_table_has_a_caption_columns_and_cells_of_every_kind() -> None:
    made = block(type="table", caption="Shops", columns=["shop", "<b>"], rows=[["main", 3], [None, True], ["<i>", 1.5]])
    assert '<caption dir="auto">Shops</caption>' in made
    assert re.findall(r"<th[^>]*>([^<]*)</th>", made) == ["shop", "&lt;b&gt;"]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", made) == ["main", "3", "", "true", "&lt;i&gt;", "1.5"]


def test_a_link_has_its_text_or_its_address() -> None:
    assert "<bdi>the &amp; report</bdi>" in block(type="link", href="https://e.com/r", text="the & report")
    assert "<bdi>https://e.com/r</bdi>" in block(type="link", href="https://e.com/r")


def test_an_image_of_the_data_is_drawn_and_one_of_the_web_is_a_link() -> None:
    made = block(type="image", src="data:image/png;base64," + base64.b64encode(PNG).decode(), alt='a "chart"')
    assert 'width="20" height="10" alt="a &#34;chart&#34;"' in made
    assert block(type="image", src="https://e.com/c.png", alt="chart") == block(
        type="link", href="https://e.com/c.png", text="chart"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (3, "Block 1: it must be an object."),
        ({"type": "video"}, "Block 1: its type must be markdown, table, link or image."),
        ({"type": ["table"]}, "Block 1: its type must be markdown, table, link or image."),
        ({"type": "markdown"}, "Block 1: text must be a text."),
        (
            {"type": "markdown", "text": "a", "html": "b"},
            'Block 1: a block of type markdown can\'t have the key "html".',
        ),
        ({"type": "link", "href": "javascript:alert(1)"}, "Block 1: href must be an address that begins with http"),
        ({"type": "link", "href": "/projects/a/runs/b/cancel"}, "Block 1: href must be an address"),
        ({"type": "link", "href": "https://e.com", "text": "a" * 501}, "Block 1: text has more than 500 characters."),
        ({"type": "image", "src": "https://e.com/a.png"}, "Block 1: alt must be a text."),
        ({"type": "image", "src": "data:image/svg+xml;base64,PHN2Zz4=", "alt": ""}, "Block 1: src must be a PNG"),
        ({"type": "table", "columns": [], "rows": []}, "Block 1: columns must be a list of texts."),
        ({"type": "table", "columns": ["a"], "rows": {}}, "Block 1: rows must be a list of rows."),
        ({"type": "table", "columns": ["a"], "rows": [["b"], "c"]}, "Block 1: row 2 must be a list."),
        ({"type": "table", "columns": ["a"], "rows": [["b", "c"]]}, "Block 1: row 1 has 2 cells for 1 columns."),
        ({"type": "table", "columns": ["a"], "rows": [[{}]]}, "Block 1: row 1 has a cell that is neither a text"),
        ({"type": "table", "columns": ["a"] * 31, "rows": []}, "Block 1: it has more than 30 columns."),
        (
            {"type": "table", "columns": ["a"], "rows": [[1]] * (MOST_CELLS + 1)},
            "Block 1: it has more than 3000 cells.",
        ),
    ],
)
def test_a_block_of_another_shape_is_json_with_what_is_wrong(asked: object, words: str) -> None:
    assert problem(asked).startswith(words)


def test_a_wrong_block_leaves_the_others_and_a_wrong_view_is_said_to_be_one() -> None:
    good = {"type": "markdown", "text": "fine"}
    assert [found.problem for found in blocks(good, 1, good)] == ["", "Block 2: it must be an object.", ""]
    assert view_of({VIEW_KEY: {"a": 1}}) == [Block(html=folded({"a": 1}), problem="The view must be a list of blocks.")]


def test_a_view_has_a_bound_of_blocks_and_of_markdown() -> None:
    many = blocks(*[{"type": "markdown", "text": "a"}] * (MOST_BLOCKS + 2))
    assert len(many) == MOST_BLOCKS + 1
    assert many[-1].problem == f"The view has more than {MOST_BLOCKS} blocks. These are left."
    half = {"type": "markdown", "text": "a" * (MOST_MARKDOWN // 2)}
    assert [bool(found.problem) for found in blocks(half, half, half)] == [False, False, True]


@pytest.mark.parametrize("costly", ["[" * 2000, "|a" * 33 + "|\n" + "|-" * 33 + "|\n" + "|\n" * 200])
def test_markdown_that_takes_long_to_parse_is_not_parsed(costly: str) -> None:
    assert len(costly) < MOST_MARKDOWN
    assert "brackets and cells counted more" in problem({"type": "markdown", "text": costly})


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b* **c** ~~d~~ `e`", '<p dir="auto">a <em>b</em> <strong>c</strong> <s>d</s> <code>e</code></p>'),
        ("# a\n### b\n# c", '<h3 dir="auto">a</h3>\n<h4 dir="auto">b</h4>\n<h3 dir="auto">c</h3>\n'),
        ("- a\n- b", '<ul><li dir="auto">a</li><li dir="auto">b</li></ul>'),
        ("7. a", '<ol start="7"><li dir="auto">a</li></ol>'),
        ("```html\n<b>\n```", '<pre dir="auto"><code>&lt;b&gt;\n</code></pre>\n'),
        ("<b>x</b> & <!-- y -->", '<p dir="auto">&lt;b&gt;x&lt;/b&gt; &amp; &lt;!-- y --&gt;</p>'),
        (
            "[a](javascript:x) [b](/c) [d](data:text/html,e)",
            '<p dir="auto">[a](javascript:x) b [d](data:text/html,e)</p>',
        ),
        (
            "![a *chart*](https://e.com/c.png)",
            '<p dir="auto"><a href="https://e.com/c.png" rel="noopener noreferrer nofollow">a *chart*</a></p>',
        ),
        ("![local](/c.png)", '<p dir="auto">local</p>'),
        (
            "[![alt](https://e.com/c.png)](https://e.com)",
            '<p dir="auto"><a href="https://e.com" rel="noopener noreferrer nofollow">alt</a></p>',
        ),
    ],
)
def test_markdown_becomes_html_without_anything_of_its_own(text: str, html: str) -> None:
    assert markdown(text, below=2) == html


def test_a_table_of_markdown_is_one_and_keeps_its_alignment() -> None:
    made = markdown("|a|b|\n|-|-:|\n|1|2|", below=2)
    assert read(made).seen == {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert '<td dir="auto" class="text-end">2</td>' in made
    assert "style" not in made


MARKS = [
    "[",
    "]",
    "(",
    ")",
    "!",
    "<",
    ">",
    '"',
    "'",
    "`",
    "*",
    "_",
    "~~",
    "|",
    "-",
    "\n",
    "\n\n",
    "# ",
    "> ",
    "1. ",
    "- ",
]
HOSTILE = ["<script>", "</div>", "<!--", "javascript:", "data:", "&#xD800;", "&lt;", "\u202e", "\\", "    "]
LINKS = [
    "https://e.com",
    "[a](https://e.com)",
    "![b](https://e.com/x)",
    "|-|-|\n",
    "[r]: javascript:x\n",
    "<https://e.com>",
]
PIECES = st.sampled_from([*MARKS, *HOSTILE, *LINKS])
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join)


@given(TEXTS)
@example("[a]: https://e.com\n\n[![x][a]][a]")
@example("&#xD800;&#0;")
def test_no_markdown_writes_another_tag(text: str) -> None:
    assert read(markdown(text, below=2)).seen <= MARKDOWN_TAGS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
NEARLY_BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["markdown", "table", "link", "image"])},
    optional={
        "text": TEXTS | JSON,
        "href": TEXTS | JSON,
        "src": TEXTS
        | st.binary(max_size=40).map(lambda data: f"data:image/png;base64,{base64.b64encode(data).decode()}"),
        "alt": TEXTS | JSON,
        "columns": st.lists(TEXTS, max_size=3) | JSON,
        "rows": st.lists(st.lists(TEXTS | JSON, max_size=3), max_size=3) | JSON,
        "caption": TEXTS,
    },
)


@given(st.lists(NEARLY_BLOCKS | JSON, max_size=5) | JSON)
def test_no_metadata_raise_or_write_another_tag(view: Any) -> None:
    for found in view_of({VIEW_KEY: view}) or []:
        assert read(found.html).seen <= TAGS


@pytest.mark.parametrize(
    "href",
    [
        "https://e.com",
        "http://e.com:80/a?b#c",
        "mailto:a@e.com",
        "https://[::1]/",
        "HTTPS://E.com",
        "https://ü.example/ä",
    ],
)
def test_addresses_of_the_web_and_of_mailboxes_are_links(href: str) -> None:
    assert is_safe(href)


@pytest.mark.parametrize(
    "href",
    [
        *("", "//e.com", "/a", "a", "https://", "https:///a", "mailto:", "javascript:a", "java\tscript:a"),
        *(" https://e.com", "https://e.com/\n", "https://[", "data:text/html,a", "vbscript:a", "file:///etc/passwd"),
        "https://e.com/" + "a" * 2000,
    ],
)
def test_other_addresses_are_none(href: str) -> None:
    assert not is_safe(href)

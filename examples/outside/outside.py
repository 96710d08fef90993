"""Stands in for what these examples talk to: a bucket of files, and a shop that is slow and refuses who asks too often.

Everything is kept in memory: a new pod starts with the eight pictures and the orders again.
"""

from __future__ import annotations

import collections
import io
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from PIL import Image, ImageOps

PICTURES = 8
LARGEST = 10 * 2**20
ORDERS, ORDERS_A_PAGE, SECONDS_A_PAGE = 600, 20, 0.3
PATIENCE = 3
"""Seconds that the shop asks for when it refuses."""
LINKS: Mapping[str, tuple[str, ...]] = {
    "home": ("shoes", "hats", "sale"),
    "shoes": ("boots", "sandals", "home"),
    "hats": ("caps", "sale"),
    "sale": ("boots", "caps"),
    "boots": (),
    "sandals": ("sale",),
    "caps": ("home",),
}


class Outside:
    """What there is, and what was asked."""

    def __init__(self) -> None:
        self.files = {f"pictures/{number}.jpg": picture(number) for number in range(1, PICTURES + 1)}
        self.asked: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def count(self, what: str) -> int:
        """How often this was asked, this time included."""
        with self._lock:
            self.asked[what] += 1
            return self.asked[what]


def picture(number: int) -> bytes:
    """A picture of its own colour, 1600 by 1200."""
    grey = Image.radial_gradient("L").resize((1600, 1200))
    drawn = io.BytesIO()
    ImageOps.colorize(grey, black=f"hsl({45 * number}, 80%, 70%)", white="black").save(drawn, "JPEG")
    return drawn.getvalue()


def orders(page: int) -> list[dict[str, int | str]]:
    """One page of the shop's orders, from 1; empty after the last. A hundred a day from the first of January 2026."""
    first = (page - 1) * ORDERS_A_PAGE
    return [
        {"number": number, "day": f"2026-01-{1 + number // 100:02}", "cents": 500 + 7 * number % 1000}
        for number in range(first, min(first + ORDERS_A_PAGE, ORDERS))
    ]


class Handler(BaseHTTPRequestHandler):
    """GET and PUT of /files/NAME, GET of /files?prefix=, /orders?page=, /pages/NAME and /asked."""

    outside: Outside

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        kind, _, name = url.path.strip("/").partition("/")
        if kind == "files" and name:
            self._answer(self.outside.files.get(name))
        elif kind == "files":
            self._answer_json(sorted(file for file in self.outside.files if file.startswith(query.get("prefix", ""))))
        elif kind == "orders" and query.get("page", "").isdigit():
            self.outside.count(f"orders {query['page']}")
            time.sleep(SECONDS_A_PAGE)
            self._answer_json(orders(int(query["page"])))
        elif kind == "pages":
            self._page(name)
        elif kind == "asked":
            self._answer_json(self.outside.asked)
        else:
            self._answer(None)

    def do_PUT(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        kind, _, name = self.path.strip("/").partition("/")
        if kind != "files" or not name or size > LARGEST:
            self._answer(None)
            return
        self.outside.files[name] = self.rfile.read(size)
        self._answer(b"")

    def _page(self, name: str) -> None:
        if name not in LINKS:
            self._answer(None)
        elif self.outside.count(f"page {name}") == 1 and name == "sale":
            self.send_response(429)
            self.send_header("Retry-After", str(PATIENCE))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer_json({"title": name.title(), "links": LINKS[name]})

    def _answer_json(self, content: object) -> None:
        self._answer(json.dumps(content).encode())

    def _answer(self, content: bytes | None) -> None:
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")


def main() -> None:
    """Serve until the pod ends."""
    Handler.outside = Outside()
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()


if __name__ == "__main__":
    main()

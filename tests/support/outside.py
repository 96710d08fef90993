"""The examples' own stand-ins and modules, for tests of the examples."""

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDERS = ("outside", "thumbnails", "etl", "report", "crawler")


@contextmanager
def examples_importable() -> Iterator[None]:
    """As in their image, where all modules lie in one folder."""
    before = list(sys.path)
    sys.path[:0] = [str(EXAMPLES / folder) for folder in FOLDERS]
    try:
        yield
    finally:
        sys.path[:] = before


def module(name: str) -> ModuleType:
    """A module of the examples."""
    with examples_importable():
        return importlib.import_module(name)


@contextmanager
def outside() -> Iterator[Any]:
    """The bucket and the shop, served here and found by the examples."""
    standins = module("outside")
    there = standins.Outside()
    handler = type("Handler", (standins.Handler,), {"outside": there, "log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    os.environ["OUTSIDE_URL"] = f"http://127.0.0.1:{server.server_port}"
    try:
        yield there
    finally:
        del os.environ["OUTSIDE_URL"]
        server.shutdown()
        server.server_close()
        thread.join()

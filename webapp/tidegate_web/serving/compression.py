"""Pages, styles and scripts compressed for browsers that take it: a first page is an eighth of its size.

Only answers to GET that are whole and the same for all ways of asking. The API's JSON, files and streams stay as they are. What a page
reflects could be guessed from its compressed size, were the secret beside it constant: tokens against forged requests carry the second and
change with it, cookies are not sent along by other sites (SameSite), and secrets that are shown once answer a POST.
"""

import gzip
from typing import Final

from flask import Response, request

TYPES: Final = frozenset({"text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"})
LEAST_BYTES: Final = 1024
LEVEL: Final = 5
MOST_KEPT: Final = 64
"""Static files that are kept compressed: there are about a dozen."""


class Compression:
    """Compresses answers, for any thread. Static files are compressed once."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def compress(self, response: Response) -> Response:
        """The answer, compressed where the client takes that."""
        if response.mimetype not in TYPES:
            return response
        response.vary.add("Accept-Encoding")
        if not _is_whole(response) or request.accept_encodings["gzip"] <= 0:
            return response
        data = self._compressed(response)
        if data is not None:
            response.set_data(data)
            response.content_encoding = "gzip"
            etag, weak = response.get_etag()
            if etag and not weak:
                response.set_etag(etag, weak=True)  # the bytes differ from those of the file
        return response

    def _compressed(self, response: Response) -> bytes | None:
        etag, _ = response.get_etag()
        key = f"{request.path} {etag}" if request.endpoint == "static" and etag else None
        if key is not None and key in self._kept:
            _close(response)
            return self._kept[key]
        plain = _read(response)
        if len(plain) < LEAST_BYTES:
            return None
        data = gzip.compress(plain, LEVEL, mtime=0)
        if key is not None and len(self._kept) < MOST_KEPT:
            self._kept[key] = data
        return data


def _is_whole(response: Response) -> bool:
    streamed = response.is_streamed and not response.direct_passthrough
    return request.method == "GET" and response.status_code == 200 and not response.content_encoding and not streamed


def _read(response: Response) -> bytes:
    """The bytes of the answer, a file's too, which is closed."""
    if not response.direct_passthrough:
        return response.get_data()
    file = response.response
    response.direct_passthrough = False
    data = response.get_data()
    _close_file(file)
    return data


def _close(response: Response) -> None:
    file, response.direct_passthrough = response.response, False
    _close_file(file)


def _close_file(file: object) -> None:
    close = getattr(file, "close", None)
    if callable(close):
        close()

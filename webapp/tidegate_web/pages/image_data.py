"""Images that a task puts into metadata, as ``data:`` addresses: of known formats, and not larger than a page can draw.

A few bytes can name a picture of 16,000 by 16,000, for which a browser takes a gigabyte. So the size is read from the file. Pure.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

MOST_PIXELS: Final = 4_000_000
_DATA: Final = re.compile(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})")
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG after which its size stands."""


@dataclass(frozen=True, kw_only=True)
class ImageSize:
    """In pixels."""

    width: int
    height: int


def size_of(address: str) -> ImageSize | None:
    """The size of the image that the address holds; None where it holds none that may be shown."""
    found = _DATA.fullmatch(address)
    if not found:
        return None
    try:
        data = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return None
    width, height = {"png": _png, "jpeg": _jpeg, "gif": _gif, "webp": _webp}[found[1]](data)
    return ImageSize(width=width, height=height) if 0 < width * height <= MOST_PIXELS else None


def _png(data: bytes) -> tuple[int, int]:
    if len(data) < 24 or not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR":
        return 0, 0
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _gif(data: bytes) -> tuple[int, int]:
    if len(data) < 10 or not data.startswith((b"GIF87a", b"GIF89a")):
        return 0, 0
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in _FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return 0, 0


def _webp(data: bytes) -> tuple[int, int]:
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return 0, 0
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
        case _:
            return 0, 0

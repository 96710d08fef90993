"""Images in metadata: only of known formats, and of a size that a browser can draw."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.pages.image_data import size_of


def sized(width: int, height: int) -> dict[str, bytes]:
    """The beginnings of files of one size in each format."""
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc2\x00\x11\x08" + height.to_bytes(2) + width.to_bytes(2) + bytes(10)
    little = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    extended = bytes(8) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    lossless = bytes(4) + b"\x2f" + (width - 1 | height - 1 << 14).to_bytes(4, "little") + bytes(5)
    return {
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4),
        "gif": b"GIF89a" + little,
        "jpeg": jpeg,
        "webp": b"RIFF\0\0\0\0WEBPVP8X" + extended,
        "webp ": b"RIFF\0\0\0\0WEBPVP8L" + lossless,
        "webp  ": b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + little,
    }


def address(kind: str, data: bytes) -> str:
    return f"data:image/{kind.strip()};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("kind", sized(1, 1))
def test_the_size_of_an_image_is_read_and_bounded(kind: str) -> None:
    found = size_of(address(kind, sized(300, 200)[kind]))
    assert found is not None
    assert (found.width, found.height) == (300, 200)
    assert size_of(address(kind, sized(8000, 8000)[kind])) is None


@pytest.mark.parametrize(
    "odd",
    [
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png;base64,QQ",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PGI+",
        address("png", b"\x89PNG\r\n\x1a\n"),
        address("png", sized(1, 1)["gif"]),
        address("jpeg", b"\xff\xd8" + b"\xff\xe0\0\0" * 3),
        address("webp", b"RIFF\0\0\0\0WEBPVP8?" + bytes(30)),
        address("gif", b"GIF89a\0\0\x05\0"),
        address("png", sized(20, 10)["png"]) + "\n",
    ],
)
def test_what_is_no_such_image_is_refused(odd: str) -> None:
    assert size_of(odd) is None


@given(st.sampled_from(["png", "gif", "jpeg", "webp"]), st.binary(max_size=60))
def test_no_bytes_of_an_image_raise(kind: str, data: bytes) -> None:
    starts = [b"", *sized(5, 5).values()]
    for start in starts:
        size_of(address(kind, start[:20] + data))

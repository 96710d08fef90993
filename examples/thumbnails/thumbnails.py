"""Thumbnails of a folder of pictures: a run a picture, three at a time, and a contact sheet when all of them are there."""

from __future__ import annotations

import io
import math

import bucket
from PIL import Image
from tidegate import current_run, task

SIZE = (160, 120)


@task(queue="thumbnails", timeout=60)
def thumbnail(picture: str) -> str:
    """Make a picture small."""
    with Image.open(io.BytesIO(bucket.read(picture))) as image:
        image.thumbnail(SIZE)
        name = "thumbnails/" + picture.rpartition("/")[2]
        bucket.write(name, _jpeg(image))
    return name


@task(timeout=60)
def contact_sheet(thumbnails: list[str]) -> dict[str, object]:
    """All thumbnails on one picture."""
    columns = math.ceil(math.sqrt(len(thumbnails)))
    rows = math.ceil(len(thumbnails) / columns)
    sheet = Image.new("RGB", (columns * SIZE[0], rows * SIZE[1]))
    for place, name in enumerate(thumbnails):
        with Image.open(io.BytesIO(bucket.read(name))) as image:
            sheet.paste(image, (place % columns * SIZE[0], place // columns * SIZE[1]))
    bucket.write("thumbnails/sheet.jpg", _jpeg(sheet))
    return {"file": "thumbnails/sheet.jpg", "size": list(sheet.size)}


@task
def album(folder: str) -> dict[str, object]:
    """Make thumbnails of a folder, and a contact sheet of them.

    Fan out and join without waiting: the sheet's run waits in the cluster for those of the pictures, and costs nothing.
    """
    run = current_run()
    pictures = bucket.names(folder + "/")
    # Keys: another attempt of this run meets the runs that the first one made.
    made = thumbnail.submit_many(
        [{"picture": picture} for picture in pictures],
        batch=run.name,
        idempotency_keys=[f"{run.uid}/{picture}" for picture in pictures],
    )
    sheet = contact_sheet.submit(
        {"thumbnails": ["thumbnails/" + picture.rpartition("/")[2] for picture in pictures]},
        depends_on=made,  # 64 at most; more are joined in two steps
        idempotency_key=run.uid,
    )
    return {"thumbnails": [child.name for child in made], "sheet": sheet.name}


def _jpeg(image: Image.Image) -> bytes:
    drawn = io.BytesIO()
    image.convert("RGB").save(drawn, "JPEG")
    return drawn.getvalue()

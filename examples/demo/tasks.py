"""The tasks of the examples: ordinary functions, marked with ``@task``."""

from __future__ import annotations

import time

from tidegate import AbortRun, progress, task


@task
def resize(pictures: int, width: int = 1280, seconds: float = 6.0) -> dict[str, int]:
    """Pretend to resize pictures, and tell how far it is."""
    if width < 1:
        raise AbortRun(f"a picture can't be {width} pixels wide")
    for done in range(pictures):
        progress(done / pictures, f"picture {done + 1} of {pictures}")
        print(f"resizing picture {done + 1} to {width} pixels")
        time.sleep(seconds / pictures)
    progress(1.0, "done")
    return {"pictures": pictures, "width": width}


@task
def import_orders(limit: int = 1_000_000) -> int:
    """Work for long: to be cancelled."""
    imported = 0
    while imported < limit:
        imported += 1
        if imported % 10 == 0:
            print(f"imported {imported} orders")
        time.sleep(0.2)
    return imported


@import_orders.on_cancel
def leave_no_half_import() -> None:
    """Runs within the pod's grace period when the run is cancelled."""
    print("cancelled: rolled back the open transaction")

"""Look for garbage less often: what the tests and the programs under test have imported is looked at each time, which is a tenth of
the CPU of the tests' own process."""

import gc

OBJECTS = 20_000
"""More of them than have gone are looked at; Python's own number is 700."""


def pytest_collection_finish() -> None:
    """All is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS, 20, 20)

"""The body of a new run, as JSON."""

from __future__ import annotations

import json
from typing import Any, Mapping


def encoded(body: Mapping[str, Any]) -> bytes:
    """A run's body as JSON; TypeError for what is none."""
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"the payload is not JSON: {error}") from error

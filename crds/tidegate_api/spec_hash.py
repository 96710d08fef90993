"""The one way to write a TaskSpec, and the hash that names it: the operator writes both, the archive keeps specs by the hash."""

import hashlib
import json
from collections.abc import Mapping


def spec_text(spec: Mapping[str, object]) -> str:
    """A TaskSpec as its Jobs carry it: equal specs, equal texts. Raises RecursionError."""
    return json.dumps(spec, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def spec_hash(spec: Mapping[str, object]) -> str:
    """SHA-256 of that text, in hex: `status.attempts[].specHash`. Raises RecursionError."""
    return hashlib.sha256(spec_text(spec).encode("utf-8", "surrogatepass")).hexdigest()

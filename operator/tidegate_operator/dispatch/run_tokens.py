"""Tokens with which runs in pools call the web app, signed with a key that both share."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tidegate_api.run_tokens import RunClaims, parse_keys, sign

from tidegate_operator.records.pool import Handover
from tidegate_operator.records.run import RunRecord

UNLIMITED_SECONDS: Final = 86_400.0
"""Life of the token of a run without a timeout; it is renewed before."""
SLACK_SECONDS: Final = 300.0
"""A result may arrive a moment after the limit, and clocks differ."""
READ_SECONDS: Final = 60.0


class RunTokens:
    """Issues them. The file is read again now and then: a key may be changed while the operator runs."""

    def __init__(
        self,
        file: Path | None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`file`: None where there is no web app."""
        self._file, self._clock, self._monotonic = file, clock, monotonic
        self._key: bytes | None = None
        self._read_at = float("-inf")

    def issue(self, run: RunRecord, handover: Handover, *, number: int, seconds: float | None) -> str | None:
        """A token for one hand-over. `seconds`: how long it may take; None where that has no limit."""
        key = self._signing_key()
        if key is None:
            return None
        life = (seconds if seconds is not None else UNLIMITED_SECONDS) + SLACK_SECONDS
        claims = RunClaims(
            namespace=run.namespace,
            run=run.name,
            uid=run.uid,
            attempt=number,
            handover=handover.ident,
            pod_uid=handover.pod_uid,
            expires=int(self._clock() + life),
        )
        return sign(claims, key)

    def _signing_key(self) -> bytes | None:
        if self._file is None:
            return None
        if self._monotonic() - self._read_at >= READ_SECONDS:
            keys = parse_keys(self._file.read_text(encoding="utf-8"))
            self._key, self._read_at = keys[0] if keys else None, self._monotonic()
        return self._key

"""Which payloads a run may carry: at most 128 KiB as compact UTF-8, since it travels in a pod's annotation."""

import json
from collections.abc import Mapping
from typing import Any

from tidegate_api.names import PAYLOAD_MAX_BYTES, Reason

from tidegate_operator.records import Refusal


def encode_payload(payload: Mapping[str, Any]) -> str:
    """The payload as the pod gets it."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


def refuse_payload(payload: Mapping[str, Any]) -> Refusal | None:
    """Why the payload can't be run, if so."""
    size = len(encode_payload(payload).encode("utf-8", "surrogatepass"))
    if size <= PAYLOAD_MAX_BYTES:
        return None
    return Refusal(
        Reason.INVALID_PAYLOAD, f"the payload is {size} bytes as compact JSON; at most {PAYLOAD_MAX_BYTES} are taken"
    )

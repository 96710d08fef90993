"""Times as they go out: RFC 3339 in UTC, to the millisecond."""

from datetime import UTC, datetime
from typing import Annotated, overload

from pydantic import Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""One of them in the shape of an answer."""


@overload
def rfc3339(time: None) -> None: ...
@overload
def rfc3339(time: datetime) -> str: ...
def rfc3339(time: datetime | None) -> str | None:
    """A time for JSON; None stays None."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""The parameters that the API's calls have in common."""

from tidegate_web.openapi.parameters import Parameter, Text, WholeNumber
from tidegate_web.runs.wait_for_end import MOST_SECONDS
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.phases import ACTIVE_PHASES, TERMINAL_PHASES

PHASES = (*ACTIVE_PHASES, *TERMINAL_PHASES)
_TIME: JsonObject = {"type": "string", "format": "date-time"}

LIMIT = WholeNumber(name="limit", description="So many items at most.", default=50, least=1, most=500)
AFTER = Parameter(name="after", description="The cursor `after` of the piece before.")
AFTER_ID = WholeNumber(
    name="after", description="The cursor `after` of the piece before.", default=0, least=0, most=2**62
)
BEFORE_ID = WholeNumber(
    name="after", description="The cursor `after` of the piece before.", default=2**62, least=0, most=2**62
)

FROM = Parameter(name="from", description="Not before this time.", schema=_TIME)
TO = Parameter(name="to", description="Before this time.", schema=_TIME)
TASK = Text(name="task", description="Of this Task.")
QUEUE = Text(name="queue", description="Of this Queue.")
RUN_FILTER = (
    Parameter(
        name="phase",
        description="In one of these phases; may be given more than once, or with commas.",
        schema={"type": "array", "items": {"type": "string", "enum": list(PHASES)}},
    ),
    Text(name="reason", description="With this reason."),
    TASK,
    QUEUE,
    Text(name="tag", description="With this tag."),
    Text(name="batch", description="Of this batch."),
    Text(name="schedule", description="Of this Schedule."),
    Text(name="parent", description="Submitted by the run of this name."),
    Text(name="key", description="With this concurrencyKey."),
    Text(name="requestedBy", description="Asked for by this user or API key, as `requestedBy` names it."),
    Text(name="q", description="With this text in its name, message or tags."),
    FROM,
    TO,
)

WAIT = WholeNumber(
    name="wait",
    description="Answer 303 to where the run is answered once it has ended, with its result, or as it is after so many seconds.",
    default=0,
    least=1,
    most=MOST_SECONDS,
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    description="Makes the run once in 30 days, however often it is sent.",
    place="header",
    schema={"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[ -~]+$"},
)
IF_MATCH = Parameter(
    name="If-Match",
    description='The version that it must have, `"VERSION"`; else 412.',
    place="header",
    schema={"type": "string", "minLength": 3, "maxLength": 22, "pattern": '^"[0-9]{1,20}"$'},
)
IF_NONE_MATCH = Parameter(
    name="If-None-Match",
    description="It must not be there; else 412.",
    place="header",
    schema={"type": "string", "enum": ["*"]},
)

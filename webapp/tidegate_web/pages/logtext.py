"""A run's log as a file: what its pods wrote, as they wrote it."""

from collections.abc import Iterator

from flask import Blueprint, Response, request

from tidegate_web.api.runs import ATTEMPT
from tidegate_web.current_app import services
from tidegate_web.runs import stored_logs
from tidegate_web.runs.lookup import find
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.store.queries.logs import StoredChunk
from tidegate_web.store.run_rows import RunRow


def _text(made: Services, row: RunRow, found: list[StoredChunk], *, attempt: int | None) -> Iterator[str]:
    """Piece by piece: a log may be larger than what a process should hold. Each pod's begins on a line of its own."""
    pod, ended = "", True
    while found:
        for chunk in found:
            if chunk.pod != pod and not ended:
                yield "\n"
            pod, ended = chunk.pod, chunk.text.endswith("\n")
            yield chunk.text
        found = stored_logs.chunks(made, row, attempt=attempt, after=found[-1].id)


def add_routes(area: Blueprint) -> None:
    """The route of the file."""

    @area.get("/projects/<project>/runs/<run>/log")
    @requires(Permission.VIEWER)
    def log_text(project: str, run: str) -> Response:
        made = services()
        row, attempt = find(made, project, run), ATTEMPT.asked() or None
        first = stored_logs.chunks(made, row, attempt=attempt)
        answer = Response(_text(made, row, first, attempt=attempt), content_type="text/plain; charset=utf-8")
        shown = "inline" if request.args.get("inline") == "1" else "attachment"
        answer.headers.set("Content-Disposition", shown, filename=f"{row.name}.log")
        return answer

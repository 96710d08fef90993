"""The columns of the list of runs that users choose for themselves, in all projects."""

from collections.abc import Collection

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.services import Services
from tidegate_web.shared import run_columns
from tidegate_web.store.queries import users


def choose(made: Services, actor: Actor, names: Collection[str] | None) -> None:
    """Show the actor these columns from now on; None for those that the list has without a choice."""
    columns = None if names is None else list(run_columns.chosen(names))
    detail = {"columns": "default" if columns is None else columns}
    with (
        audited(made, actor, "user.columns", target=actor.user.email, detail=detail),
        made.engine.begin() as connection,
    ):
        users.change(connection, user_id=actor.user.id, values={"run_columns": columns})

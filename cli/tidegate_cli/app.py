"""The command and its parts."""

import click

from tidegate_cli.commands import access, actions, local, runs
from tidegate_cli.commands.completion import completion
from tidegate_cli.commands.pools import pools
from tidegate_cli.commands.queues import queues
from tidegate_cli.commands.schedules import schedules
from tidegate_cli.commands.tasks import tasks


@click.group("tidegate", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tidegate-platform", message="%(version)s")
def cli() -> None:
    """Background work on your own Kubernetes cluster.

    By the kubeconfig, or by the HTTP API with TIDEGATE_API_URL and TIDEGATE_API_KEY or after a login.
    """


for command in (
    runs.run_task, runs.list_runs, runs.show_run, actions.logs, actions.wait, actions.cancel, actions.suspend, actions.resume,
    actions.replay, queues, schedules, pools, tasks, access.login, access.logout, access.open_page, local.execute, completion,
):  # fmt: skip
    cli.add_command(command)

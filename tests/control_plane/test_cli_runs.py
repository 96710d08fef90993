"""The command `tidegate` by a kubeconfig alone: runs made, waited for, listed, cancelled; and what it says of faults."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.builders import a_queue, a_run, a_task
from support.command import Command
from support.operator import OperatorProcess, OwnRuns, Runs
from support.proxy import FaultyProxy
from tidegate_cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")

COLOUR = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")
"""What sets a colour; bold and dim are none."""
HELD = ("--label", "fake.tidegate.dev/hold=1")


def plain(text: str) -> str:
    """Without what steers a terminal."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)


PROJECT = "cli-runs"


@pytest.fixture(scope="module")
def runs(plane: ControlPlane) -> Runs:
    """A namespace of these tests alone, with a Task to run."""
    made = OwnRuns(plane, PROJECT)
    made.create(a_task("resize", retry={"maxAttempts": 1}))
    return made


@pytest.fixture
def tidegate(plane: ControlPlane, runs: Runs, tmp_path: Path) -> Command:
    """The command of a cluster's admin, who works there."""
    return Command(tmp_path, KUBECONFIG=str(plane.kubeconfig()), TIDEGATE_PROJECT=runs.namespace)


@pytest.fixture
def by_proxy(proxy: FaultyProxy, runs: Runs, tmp_path: Path) -> Command:
    """The same on the way on which faults can be put."""
    return Command(tmp_path, KUBECONFIG=str(proxy.kubeconfig()), TIDEGATE_PROJECT=runs.namespace)


@pytest.mark.quick
def test_watching_a_run_that_succeeds_exits_with_0(tidegate: Command, runs: Runs) -> None:
    ended = tidegate.ok("run", "resize", "--payload", '{"width": 800}', "-p", "size=big", "--name", "good", "--watch")
    assert ended.out.startswith("good Succeeded")
    assert "good created" in ended.err
    assert runs.get("good")["spec"]["payload"] == {"width": 800, "size": "big"}


def test_watching_a_run_that_fails_exits_with_1_and_says_why(tidegate: Command) -> None:
    ended = tidegate("run", "resize", "--name", "bad", "--label", "fake.tidegate.dev/exit-code=7", "--watch")
    assert (ended.code, "Failed (Error) exit code 7" in ended.out) == (1, True)


def test_a_watched_run_is_json_on_stdout_alone(tidegate: Command) -> None:
    ended = tidegate.ok("run", "resize", "--name", "told", "--tag", "red", "--watch", "-o", "json")
    reported = ended.json
    assert (reported["name"], reported["phase"], reported["tags"], reported["task"]) == (
        "told",
        "Succeeded",
        ["red"],
        "resize",
    )


def test_waiting_longer_than_the_timeout_exits_with_124_and_the_run_goes_on(tidegate: Command, runs: Runs) -> None:
    tidegate.ok("run", "resize", "--name", "not-in-time", *HELD)
    ended = tidegate("wait", "not-in-time", "--timeout", "2s")
    assert ended.code == 124
    assert "not-in-time" in ended.err.splitlines()[-1]
    assert runs.wait("not-in-time", "Running", "Starting", "Pending")


def test_an_interrupt_exits_with_130_and_the_run_goes_on(tidegate: Command, runs: Runs) -> None:
    with tidegate.start("run", "resize", "--name", "interrupted", "--watch", *HELD) as command:
        command.has_said("interrupted Running")
        ended = command.interrupt().ended()
    assert ended.code == 130
    assert "tidegate wait interrupted" in ended.err.splitlines()[-1]
    assert runs.get("interrupted")["status"]["phase"] == "Running"


def test_cancelling_ends_a_command_that_waits(tidegate: Command) -> None:
    with tidegate.start("run", "resize", "--name", "unwanted", "--watch", *HELD) as command:
        command.has_said("unwanted Running")
        assert "unwanted is to be cancelled" in tidegate.ok("cancel", "unwanted").out
        ended = command.ended()
    assert (ended.code, "unwanted Cancelled" in ended.out) == (1, True)
    assert "has ended already: Cancelled" in tidegate("cancel", "unwanted").fault


def test_a_suspended_run_starts_when_it_is_resumed(tidegate: Command, runs: Runs) -> None:
    runs.create(a_run("deploy").spec(suspend=True).built)
    runs.wait("deploy", "Pending", reason="Suspended")
    assert "Waits for: Suspended" in tidegate.ok("show", "deploy").out
    assert tidegate.ok("resume", "deploy").out == "deploy resumed\n"
    tidegate.ok("wait", "deploy", "--timeout", "20s")
    assert "has ended already: Succeeded" in tidegate("resume", "deploy").fault
    assert "has ended already: Succeeded" in tidegate("suspend", "deploy").fault


def test_a_run_that_waits_is_held(tidegate: Command, runs: Runs) -> None:
    runs.create(a_run("approve").spec(startAfter="2099-01-01T00:00:00Z").built)
    assert tidegate.ok("suspend", "approve", "-o", "json").json["spec"]["suspend"] is True
    assert runs.wait("approve", "Pending", reason="Suspended")


def test_waiting_for_a_run_that_is_deleted_says_so(tidegate: Command, runs: Runs) -> None:
    with tidegate.start("run", "resize", "--name", "deleted", "--watch", *HELD) as command:
        command.has_said("deleted Running")
        runs.kube.delete("taskruns.tidegate.dev", "deleted")
        ended = command.ended()
    assert (ended.code, ended.err.splitlines()[-1]) == (3, "tidegate: run deleted was deleted")


def test_lists_are_filtered_and_printed_in_each_format(tidegate: Command) -> None:
    for name, tag in (("listed-1", "blue"), ("listed-2", "blue"), ("listed-3", "green")):
        tidegate.ok("run", "resize", "--name", name, "--tag", tag, "--batch", "b1", "--watch")
    blue = tidegate.ok("ls", "--tag", "blue", "-o", "json").json["items"]
    assert {run["name"] for run in blue} == {"listed-1", "listed-2"}
    named = tidegate.ok("ls", "--batch", "b1", "--task", "resize", "--phase", "succeeded", "-o", "name").out.split()
    assert sorted(named) == ["listed-1", "listed-2", "listed-3"]
    head, *rows = tidegate.ok("ls", "--batch", "b1", "--since", "1h").out.splitlines()
    assert head.split() == ["NAME", "TASK", "QUEUE", "PHASE", "REASON", "ATTEMPT", "TOOK", "AGE"]
    assert len(rows) == 3
    assert "\x1b" not in head + "".join(rows)
    assert len(tidegate.ok("ls", "--batch", "b1", "--limit", "1", "-o", "name").out.split()) == 1
    assert tidegate.ok("ls", "--batch", "none").out == ""
    assert tidegate.ok("ls", "--batch", "b1", "--until", "1h", "-o", "json").json == {"items": []}


def test_a_run_is_shown_by_name_and_by_uid(tidegate: Command, runs: Runs) -> None:
    tidegate.ok("run", "resize", "--name", "shown", "--payload", '{"a": 1}', "--watch")
    uid = runs.get("shown")["metadata"]["uid"]
    assert tidegate.ok("show", uid, "-o", "json").json == tidegate.ok("show", "shown", "-o", "json").json
    shown = tidegate.ok("show", uid).out
    assert 'Payload:   {"a": 1}' in shown
    assert "1  Succeeded" in shown
    assert tidegate.ok("show", "shown", "-o", "yaml").out.startswith(f"uid: {uid}\n")
    assert "has no result" in tidegate("show", "shown", "--result").fault


def test_a_terminal_gets_a_bar_and_colours_and_none_of_the_latter_with_no_color(tidegate: Command) -> None:
    run = ("run", "resize", "--watch", "--label", "fake.tidegate.dev/duration=2s")
    code, seen = tidegate.on_terminal(*run, "--name", "coloured")
    assert (code, "━" * 30 in seen, "coloured Succeeded" in plain(seen)) == (0, True, True)
    assert COLOUR.search(seen)
    code, seen = tidegate.on_terminal(*run, "--name", "sober", NO_COLOR="1")
    assert (code, "━" * 30 in seen, "sober Succeeded" in plain(seen)) == (0, True, True)
    assert not COLOUR.search(seen)
    assert not COLOUR.search(tidegate.on_terminal("ls", NO_COLOR="1")[1])
    assert COLOUR.search(tidegate.on_terminal("ls")[1])
    assert "━" not in tidegate.on_terminal(*run, "--name", "dumb", TERM="dumb")[1]


HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
"""What hides a terminal's cursor, and shows it."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_watch_that_is_asked_to_end_leaves_the_cursor_there(
    tidegate: Command, runs: Runs, number: signal.Signals
) -> None:
    name = f"told-{number.name.lower()}"
    with tidegate.start_on_terminal("run", "resize", "--name", name, "--watch", *HELD) as terminal:
        code, seen = terminal.has_shown(HIDDEN).has_shown("Running").signal(number).ended()
    assert code == 128 + number
    assert seen.rindex(SHOWN) > seen.rindex(HIDDEN)
    assert f"tidegate wait {name}" in plain(seen).splitlines()[-1]
    assert runs.get(name)["status"]["phase"] == "Running"


def test_a_watch_whose_window_is_closed_ends(tidegate: Command) -> None:
    with tidegate.start_on_terminal("run", "resize", "--name", "hung-up", "--watch", *HELD) as terminal:
        code, _ = terminal.has_shown("Running").hang_up().ended()
    assert code == 128 + signal.SIGHUP


def test_shells_complete_names(tidegate: Command, runs: Runs) -> None:
    runs.create(a_queue("complete-queue"))
    runs.create(a_task("complete-task"))
    runs.create(a_run("complete-ended").built)
    runs.create(a_run("complete-held").spec(suspend=True).built)
    runs.wait("complete-ended", "Succeeded")
    tidegate.completes("tidegate show complete-", ["complete-ended", "complete-held"])
    tidegate.completes("tidegate resume complete-", ["complete-held"])
    tidegate.completes("tidegate run complete-", ["complete-task"])
    tidegate.completes("tidegate run x --queue complete-", ["complete-queue"])
    assert tidegate.completed("tidegate cancel complete-held complete-") == []
    assert tidegate.completed("tidegate show -n kube-public complete-") == []


def test_a_replay_does_the_same_again(tidegate: Command, runs: Runs) -> None:
    tidegate.ok("run", "resize", "--name", "first", "--payload", '{"a": 1}', "--label", "team=blue", "--watch")
    tidegate.ok("replay", "first", "--name", "again", "--watch")
    tidegate.ok("replay", "first", "--name", "other", "--payload", '{"a": 2}')
    assert runs.get("again")["spec"]["payload"] == {"a": 1}
    assert runs.get("again")["metadata"]["labels"] == {"team": "blue"}
    assert runs.get("other")["spec"]["payload"] == {"a": 2}


def test_a_key_makes_one_run(tidegate: Command) -> None:
    once = ("run", "resize", "--idempotency-key", "order-1", "-o", "name")
    first, second = tidegate.ok(*once).out, tidegate.ok(*once).out
    assert first == second
    assert first.startswith("resize-")
    assert "used for another run" in tidegate(*once, "-p", "a=1").fault
    assert "beside an idempotency key" in tidegate(*once, "--name", "mine").fault


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "nobody", "-n", "default"), 3, "there is no run nobody in namespace default"),
        (("show", "nobody"), 3, "there is no run nobody in namespace cli-runs (another one: -n)"),
        (("run", "nothing"), 3, "there is no Task nothing in cli-runs: tidegate tasks ls tells which there are"),
        (("wait", "nobody"), 3, "there is no run nobody"),
        (("logs", "nobody"), 3, "there is no run nobody"),
        (("show", "../queues/x"), 2, "can't be a name"),
        (("run", "resize", "--payload", "{"), 2, "the payload is not JSON"),
        (("run", "resize", "--payload", "[1]"), 2, "must be a JSON object"),
        (("run", "resize", "--payload", '{"a": NaN}'), 2, "the payload is not JSON"),
        (("run", "resize", "--payload", "@/nowhere"), 2, "/nowhere: No such file or directory"),
        (("run", "resize", "-p", "novalue"), 2, "must look like KEY=VALUE"),
        (("run", "resize", "--timeout", "1m"), 2, "add --watch"),
        (("run", "resize", "--label", "tidegate=a b"), 3, "a valid label must be"),
        (("wait", "x", "--timeout", "soon"), 2, "write 90, 90s, 5m or 1h30m"),
        (("ls", "--since", "yesterday"), 2, "is no time"),
        (("ls", "--phase", "Done"), 2, "tidegate ls --help"),
        (("ls", "--nonsense"), 2, "tidegate ls --help"),
        (("ls", "-n", "Not A Name"), 2, "can't be a namespace"),
        (("nonsense",), 2, "tidegate --help"),
        (("ls", "--context", "elsewhere"), 3, "the kubeconfig can't be used"),
        (("ls", "--kubeconfig", "/nowhere"), 3, "the kubeconfig can't be used"),
        (("ls", "--via", "api"), 3, "tidegate login URL"),
        (("open",), 3, "the dashboard's address isn't known: tidegate login URL"),
    ],
)
def test_a_mistake_is_one_line(tidegate: Command, arguments: tuple[str, ...], code: int, said: str) -> None:
    ended = tidegate(*arguments)
    assert said in ended.fault
    assert ended.code == code


def test_a_kubeconfig_that_is_rubbish_is_one_line(tidegate: Command, tmp_path: Path) -> None:
    for number, text in enumerate(("", "[]", "a: [", "clusters: 7\ncontexts: 3\n", "\x00\x01")):
        file = tmp_path / f"rubbish-{number}"
        file.write_text(text)
        assert "the kubeconfig can't be used" in tidegate("ls", KUBECONFIG=str(file)).fault


def test_what_a_user_may_not_do_is_reported_in_the_apiservers_words(tidegate: Command, plane: ControlPlane) -> None:
    config = json.loads(plane.kubeconfig().read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    file = tidegate.home / "stranger"
    file.write_text(json.dumps(config))
    assert "doesn't accept the login of your kubeconfig" in tidegate("ls", KUBECONFIG=str(file)).fault


def test_an_apiserver_that_is_away_is_reported_and_a_waiting_command_goes_on(
    by_proxy: Command, proxy: FaultyProxy, runs: Runs
) -> None:
    with by_proxy.start("run", "resize", "--name", "patient", "--watch", *HELD) as command:
        command.has_said("patient Running")
        with proxy.on(path="/taskruns").drop():
            proxy.cut_watches("taskruns")
            command.has_said("Trying again")
            assert "doesn't answer" in by_proxy("ls").fault
        runs.patch_spec("patient", cancel=True)
        assert command.ended().code == 1


@pytest.mark.parametrize("how", ["cut", "cut in a line", "an error event", "too old a version"])
def test_a_watch_that_ends_is_opened_again(by_proxy: Command, proxy: FaultyProxy, runs: Runs, how: str) -> None:
    name = f"watch-{how.replace(' ', '-')}"
    with by_proxy.start("run", "resize", "--name", name, "--watch", *HELD) as command:
        command.has_said(f"{name} Running")
        proxy.wait_watched("taskruns")
        match how:
            case "an error event":
                proxy.error_event("taskruns", code=500)
            case "too old a version":
                proxy.gone("taskruns")
            case _:
                proxy.cut_watches("taskruns", mid_line=how == "cut in a line")
        runs.patch_spec(name, cancel=True)
        assert command.ended().code == 1


def test_an_answer_that_is_no_json_is_one_line(by_proxy: Command, proxy: FaultyProxy) -> None:
    with proxy.on(path="/taskruns").garble():
        assert "the answer is not JSON" in by_proxy("ls").fault


def test_a_create_whose_answer_is_lost_names_the_run_to_look_for(by_proxy: Command, proxy: FaultyProxy) -> None:
    with proxy.on(method="POST", path="/taskruns$").forward_then_drop():
        assert "tidegate show lost-answer" in by_proxy("run", "resize", "--name", "lost-answer").fault
    assert by_proxy.ok("show", "lost-answer", "-o", "name").out == "lost-answer\n"


def test_an_operator_that_is_away_leaves_the_run_pending(tidegate: Command, operator: OperatorProcess) -> None:
    operator.stop()
    try:
        ended = tidegate("run", "resize", "--name", "nobody-cares", "--watch", "--timeout", "1s")
        assert (ended.code, "is Pending" in ended.err) == (124, True)
    finally:
        operator.start().wait_leading()


def test_a_reader_that_has_had_enough_gets_no_traceback(tidegate: Command) -> None:
    tidegate.ok("run", "resize", "--name", "piped")
    piped = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m tidegate_cli ls -o json | true"],
        env=tidegate.environment | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert piped.stderr == ""

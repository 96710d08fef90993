"""Runs over HTTP: what is created can be read at once, what is wrong is reported as a problem."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.callers import SignedIn
from support.kube import Kube
from support.rights import RELEASE
from support.servers import wait_until
from support.web import EMAIL, Parts, Stack

TASK = {"image": "busybox", "command": ["true"]}
LEASE = "tidegate-operator"


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


@pytest.mark.quick
def test_what_was_created_can_be_read_at_once(stack: Stack, me: SignedIn) -> None:
    body = {"name": "first", "task": TASK, "payload": {"a": None, "n": 1.5}, "labels": {"team": "a"}, "tags": ["x"]}
    answer = me.post("runs", body)
    assert answer.status_code == 201, answer.text
    made: Any = answer.json
    assert made["name"] == "first"
    assert made["phase"] == "Pending"
    assert made["spec"]["payload"] == {"a": None, "n": 1.5}
    assert made["requestedBy"] == {"name": EMAIL, "verified": True}
    assert answer.headers["Location"] == f"/api/v1/projects/{stack.project}/runs/{made['uid']}"
    for reference in ("first", made["uid"]):
        assert me.get(f"runs/{reference}").json == made
    listed: Any = me.get("runs?tag=x").json
    assert [run["uid"] for run in listed["items"]] == [made["uid"]]
    assert stack.runs.get("first")["metadata"]["annotations"]["tidegate.dev/requested-by"] == EMAIL


def test_a_run_without_a_name_gets_its_tasks(me: SignedIn) -> None:
    answer = me.post("runs", {"taskRef": {"name": "resize-photos"}})
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["name"].startswith("resize-photos-")
    assert answer.json["task"] == "resize-photos"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"task": TASK, "taskRef": {"name": "x"}}, 422, "exactly one of taskRef and task"),
        ({"task": TASK, "nonsense": 1}, 422, "nonsense"),
        ({"task": TASK, "priority": 5000}, 422, "priority"),
        ({"task": TASK, "payload": [1]}, 422, "payload"),
        ({"task": TASK, "name": "Not A Label"}, 422, "DNS label"),
        ({"task": TASK, "labels": {"tidegate.dev/run": "x"}}, 422, "labels"),
        ({"task": TASK, "labels": {"x": 1}}, 422, "labels"),
        ({"task": TASK, "payload": {"big": "x" * 140_000}}, 413, "payload"),
        ([], 422, "object"),
    ],
)
def test_what_is_wrong_is_reported_as_a_problem(shared_me: SignedIn, body: object, status: int, words: str) -> None:
    answer = shared_me.post("runs", body)
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert words in answer.json["detail"]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"x" * 1_100_000, "application/json", 413),
    ],
)
def test_bad_bodies(shared_me: SignedIn, data: bytes, kind: str, status: int) -> None:
    answer = shared_me.client.post(
        f"/api/v1/projects/{shared_me.project}/runs",
        data=data,
        content_type=kind,
        headers={"X-CSRFToken": shared_me.csrf},
    )
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_a_second_run_of_a_name_is_a_conflict(me: SignedIn) -> None:
    assert me.post("runs", {"task": TASK, "name": "twice"}).status_code == 201
    answer = me.post("runs", {"task": TASK, "name": "twice"})
    assert answer.status_code == 409


def test_other_projects_are_not_found(me: SignedIn) -> None:
    assert me.post("/api/v1/projects/kube-system/runs", {"task": TASK}).status_code == 404
    assert me.get("/api/v1/projects/NOT_A_NAME/runs").status_code == 404
    assert me.get("runs/nothing-of-that-name").status_code == 404
    assert me.get("runs/00000000-0000-0000-0000-000000000000").status_code == 404


def test_a_run_made_by_kubectl_is_found_before_the_mirror_has_seen_it(stack: Stack, me: SignedIn) -> None:
    run = stack.runs.create("by-hand")
    answer: Any = me.get("runs/by-hand").json
    assert answer["uid"] == run["metadata"]["uid"]
    assert answer["requestedBy"] is None


def test_a_requester_named_by_another_user_is_marked_as_such(stack: Stack, me: SignedIn) -> None:
    stack.runs.create("by-hand")
    stack.runs.kube.annotate("taskruns.tidegate.dev", "by-hand", {"tidegate.dev/requested-by": EMAIL})
    answer: Any = me.get("runs/by-hand").json
    assert answer["requestedBy"] == {"name": EMAIL, "verified": False}


def test_pages_of_a_list_meet_without_gap_or_overlap(me: SignedIn) -> None:
    names = {f"run-{number}" for number in range(7)}
    for name in names:
        assert me.post("runs", {"task": TASK, "name": name}).status_code == 201
    seen: list[str] = []
    after = ""
    while True:
        page: Any = me.get(f"runs?limit=3{after}").json
        seen += [run["name"] for run in page["items"]]
        if page["after"] is None:
            break
        after = f"&after={page['after']}"
    assert len(seen) == 7
    assert set(seen) == names


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=501",
        "after=nonsense",
        "after=%00",
        "phase=Nope",
        "from=yesterday",
        "from=",
        "q=%00",
    ],
)
def test_bad_queries(shared_me: SignedIn, query: str) -> None:
    assert shared_me.get(f"runs?{query}").status_code == 422


def test_filters(stack: Stack, me: SignedIn) -> None:
    me.post("runs", {"taskRef": {"name": "a"}, "name": "alpha", "queue": "fast"})
    me.post("runs", {"taskRef": {"name": "b"}, "name": "beta"})

    def names(query: str) -> list[str]:
        answer: Any = me.get(f"runs?{query}").json
        return sorted(run["name"] for run in answer["items"])

    assert names("") == ["alpha", "beta"]
    assert names("task=a") == ["alpha"]
    assert names("queue=fast") == ["alpha"]
    assert names("q=ALPH") == ["alpha"]
    assert names("q=%25") == []
    assert names("phase=Pending,Running&task=b") == ["beta"]
    assert names("phase=Failed") == []
    assert names("from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z") == []
    assert stack.project


@pytest.mark.quick
def test_cancel(stack: Stack, me: SignedIn) -> None:
    me.post("runs", {"task": TASK, "name": "long"})
    answer = me.post("runs/long:cancel")
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["spec"]["cancel"] is True
    assert stack.runs.get("long")["spec"]["cancel"] is True
    stack.runs.delete("long")
    assert me.post("runs/long:cancel").status_code == 409
    assert me.post("runs/never-was:cancel").status_code == 404


def test_writes_are_in_the_audit_log(parts: Parts, me: SignedIn) -> None:
    me.post("runs", {"task": TASK, "name": "seen"})
    me.post("runs", {"task": TASK, "name": "seen"})
    me.post("runs/seen:cancel")
    rows = parts.rows("SELECT actor, action, target, outcome FROM audit WHERE action LIKE 'run.%' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (EMAIL, "run.create", "seen", "done"),
        (EMAIL, "run.create", "seen", "refused 409"),
        (EMAIL, "run.cancel", "seen", "done"),
    ]


def test_nul_in_a_payload_that_came_by_kubectl_is_shown_as_something_else(stack: Stack, me: SignedIn) -> None:
    assert me.post("runs", {"task": TASK, "name": "nul", "payload": {"a": "x\x00y"}}).status_code == 422
    stack.runs.create("nul", task=TASK, payload={"a": "x\x00y"})
    read: Any = me.get("runs/nul").json
    assert read["spec"]["payload"] == {"a": "x\ufffdy"}


def test_health_lists_the_dependencies(stack: Stack, me: SignedIn) -> None:
    answer: Any = me.get("/api/v1/health").json
    states = {item["name"]: item["status"] for item in answer["items"]}
    assert states == {"Operator": "degraded", "Postgres": "up", "Redis": "up", "Kubernetes": "up", "Mirror": "degraded"}
    stack.redis.stop()
    answer = me.get("/api/v1/health").json
    assert {item["name"]: item["status"] for item in answer["items"]}["Redis"] == "down"


def test_a_namespace_without_the_label_is_read_but_not_written_to(stack: Stack, me: SignedIn, parts: Parts) -> None:
    me.post("runs", {"task": TASK, "name": "before"})
    stack.runs.label_namespace({"tidegate.dev/project": None})
    parts.services.projects.directory.forget()
    assert me.get("runs/before").status_code == 200
    assert me.get("runs").status_code == 200
    assert me.post("runs", {"task": TASK}).status_code == 404
    assert me.post("runs/before:cancel").status_code == 404


def test_a_payload_that_its_task_does_not_take_is_refused(stack: Stack, me: SignedIn) -> None:
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    stack.runs.task("count", image="busybox", payloadSchema=schema)
    good, bad = ({"taskRef": {"name": "count"}, "payload": payload} for payload in ({"n": 1}, {"n": "x"}))
    assert me.post("runs", good).status_code == 201
    answer = me.post("runs", bad)
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["errors"][0]["field"] == "payload"
    assert "$.n" in answer.json["detail"]
    inline = {"task": TASK | {"payloadSchema": schema}}
    assert me.post("runs", inline).status_code == 422
    batch = me.post("runs:batch", {"runs": [good, bad]})
    assert batch.status_code == 422
    assert batch.json is not None
    assert batch.json["errors"][0]["field"] == "runs.1.payload"
    keyed: Any = me.post("runs:batch", {"runs": [bad | {"idempotencyKey": "k"}, good]}).json
    assert [item["status"] for item in keyed["items"]] == [422, 201]
    assert me.post("runs", good | {"idempotencyKey": "k"}).status_code == 201  # a refused body doesn't use up its key


def forget(release: Kube) -> None:
    """No operator has ever led."""
    if release.find("leases", LEASE):
        release.delete("leases", LEASE)


def micro(*, hours: float) -> str:
    """A time that is so far from now, as Leases have it."""
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def test_health_names_the_leader_and_its_last_renewal(stack: Stack) -> None:
    parts = stack.parts("web", operator_lease_namespace=RELEASE, operator_lease_name=LEASE)
    me = parts.sign_in()

    def operator() -> dict[str, Any]:
        answer: Any = me.get("/api/v1/health").json
        return next(item for item in answer["items"] if item["name"] == "Operator")

    release = stack.runs.kube.within(RELEASE)
    stack.cleanup.callback(forget, release)
    forget(release)
    assert (operator()["status"], operator()["leader"], operator()["heardAt"]) == ("down", None, None)
    # By the clock of the holder's machine, which is an hour off.
    spec = {"holderIdentity": "operator-0", "renewTime": micro(hours=-1), "leaseDurationSeconds": 10}
    release.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": spec})
    found = operator()
    assert (found["status"], found["leader"]) == ("up", "operator-0")
    heard = datetime.fromisoformat(found["heardAt"])
    assert abs((datetime.now(UTC) - heard).total_seconds()) < 60
    aside = {"metadata": {"annotations": {"tidegate.dev/set-aside-objects": "3"}}}
    release.patch("leases", LEASE, aside)
    assert (operator()["status"], "3 objects are set aside" in operator()["detail"]) == ("degraded", True)
    release.patch("leases", LEASE, {"spec": {"renewTime": micro(hours=1), "leaseDurationSeconds": 1}})
    wait_until(lambda: operator()["status"] == "down")
    last = operator()
    assert datetime.fromisoformat(last["heardAt"]) >= heard
    assert "operator-0" in last["detail"]
    assert last["heardAt"] in me.client.get("/health").text

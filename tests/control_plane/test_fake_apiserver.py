"""The apiserver in memory, on which the property stage stands, answers as a real one does.

Each function asks a side for things and notes what the operator would read of the answers; both sides' notes have to be equal.
"""

from collections.abc import Callable, Iterator

import pytest
from support.builders import a_queue, a_run
from support.fake_apiserver import FakeApiserver
from support.kube import Kube
from support.operator import install_crds
from support.two_apiservers import MERGE, OPERATIONS, Answered, FakeSide, Json, RealSide, Side
from support.virtual_loop import VirtualClock
from tidegate_cluster.control_plane import ControlPlane
from tidegate_operator.kube.client import METADATA
from tidegate_operator.watch.resync import METADATA_LIST

RUNS = "/apis/tidegate.dev/v1alpha1/namespaces/default/taskruns"
QUEUES = "/apis/tidegate.dev/v1alpha1/namespaces/default/queues"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
EVENTS = "/api/v1/namespaces/default/events"
Notes = list[object]


@pytest.fixture(scope="module")
def real() -> Iterator[RealSide]:
    """Without controllers, which would change things meanwhile."""
    with ControlPlane() as plane:
        install_crds(plane)
        Kube(plane.kubeconfig()).create_account("default")
        yield RealSide(plane=plane)


@pytest.fixture(scope="module")
def fake() -> FakeSide:
    return FakeSide(server=FakeApiserver(VirtualClock()))


def a_pod(name: str, *, node: str = "", **meta: object) -> Json:
    spec = {"containers": [{"name": "task", "image": "busybox"}], "terminationGracePeriodSeconds": 30}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "namespace": "default", **meta}, "spec": spec}


def a_job(name: str, **meta: object) -> Json:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {**a_pod("x")["spec"], "restartPolicy": "Never"}}
    return {"metadata": {"name": name, "namespace": "default", **meta}, "spec": {"template": template}}


def set_phase(side: Side, pod: str, phase: str) -> Answered:
    return side.ask("PATCH", f"{PODS}/{pod}/status", body={"status": {"phase": phase}}, content=MERGE)


def created_once(side: Side) -> Notes:
    run = a_run("made-once").built
    made = side.ask("POST", RUNS, body={**run, "status": {"phase": "Running"}})
    again = side.ask("POST", RUNS, body=run)
    read = side.ask("GET", f"{RUNS}/made-once")
    brief = side.ask("GET", f"{RUNS}/made-once", accept=METADATA)
    job = side.ask("POST", JOBS, body=a_job("made-once"), accept=METADATA)
    pod = side.ask("POST", PODS, body=a_pod("made-once"))
    event = side.ask("POST", EVENTS, body={**an_event("u", "Why"), "metadata": {"generateName": "made-once."}})
    return [
        (made.reported, made.meta["generation"], made.body["status"], made.body["kind"], made.meta["namespace"]),
        {key for key in ("uid", "creationTimestamp", "resourceVersion") if made.meta.get(key)},
        again.reported,
        (read.reported, read.body == made.body),
        (brief.reported, brief.body["kind"], "spec" in brief.body, brief.meta["uid"] == made.meta["uid"]),
        (job.reported, job.body["kind"], job.meta["generation"], "spec" in job.body),
        (side.ask("POST", JOBS, body=a_job("made-once")).reported, side.ask("GET", f"{JOBS}/never-made").reported),
        (pod.reported, pod.body["status"]["phase"], pod.meta.get("generation")),
        (event.reported, event.meta["name"].startswith("made-once.")),
    ]


def merged_patches(side: Side) -> Notes:
    path = f"{RUNS}/merged"
    made = side.ask("POST", RUNS, body=a_run("merged").built)

    def patch(body: Json, at: str = path) -> Answered:
        return side.ask("PATCH", at, body=body, content=MERGE)

    first = patch({"spec": {"suspend": True}})
    status = patch({"status": {"phase": "Running"}, "spec": {"suspend": False}}, f"{path}/status")
    main = patch({"status": {"phase": "Succeeded"}, "metadata": {"labels": {"a": "b"}}})
    return [
        (first.reported, first.meta["generation"], first.version != made.version),
        patch({"metadata": {"resourceVersion": made.version}, "spec": {"suspend": False}}).reported,
        patch({"metadata": {"uid": "other"}, "spec": {"suspend": False}}).reported,
        (status.reported, status.body["status"], status.body["spec"]["suspend"], status.meta["generation"]),
        (main.reported, main.body["status"], main.meta["labels"], main.meta["generation"]),
        patch({"spec": {"suspend": True}}).version == main.version,
        patch({"metadata": {"labels": {"a": None}}}).meta.get("labels"),
        patch({"status": {"phase": "Running"}}, f"{RUNS}/never-made/status").reported,
    ]


def patches_by_operations(side: Side) -> Notes:
    """As the operator writes a status: `replace` of the version guards it."""
    notes: Notes = []
    for posts, body in ((RUNS, a_run("by-operations").built), (QUEUES, a_queue("by-operations"))):
        made = side.ask("POST", posts, body=body)
        path = f"{posts}/by-operations/status"
        status: Json = {"phase": "Running"} if posts == RUNS else {"pending": 1}

        def write(version: str, value: object, path: str = path, **how: str) -> Answered:
            guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
            operation = {"op": "add", "path": "/status", "value": value}
            return side.ask("PATCH", path, body=[guard, operation], content=OPERATIONS, **how)

        wrote = write(made.version, status, accept=METADATA)
        notes += [
            (wrote.reported, wrote.body["kind"], wrote.version != made.version, wrote.meta["generation"]),
            write(made.version, status).reported,
            write(wrote.version, status).version == wrote.version,
            side.ask("GET", f"{posts}/by-operations").body["status"],
        ]
    absent = [{"op": "replace", "path": "/spec/never", "value": 1}]
    run = f"{RUNS}/by-operations"
    version = side.ask("GET", run).version
    null = [{"op": "add", "path": "/status", "value": {"phase": "Succeeded", "result": {"a": None}}}]
    return [
        *notes,
        side.ask("PATCH", run, body=absent, content=OPERATIONS).reported,
        side.ask("PATCH", f"{run}/status", body=null, content=OPERATIONS).body["status"],
        side.ask("GET", run).version != version,
    ]


def what_has_ended_stays(side: Side) -> Notes:
    side.ask("POST", RUNS, body=a_run("ended").built)

    def patch(**status: object) -> Answered:
        return side.ask("PATCH", f"{RUNS}/ended/status", body={"status": status}, content=MERGE)

    return [
        patch(phase="Failed", reason="Error", attempts=[{"number": 1, "outcome": "Failed"}]).reported,
        patch(phase="Running").reported,
        patch(reason="Timeout").reported,
        patch(attempts=[{"number": 2, "outcome": "Failed"}]).reported,
        patch(message="more words").reported,
        patch(message="more words").reported,
    ]


def deletions(side: Side) -> Notes:
    made = side.ask("POST", RUNS, body=a_run("deleted").built)
    path = f"{RUNS}/deleted"

    def delete(at: str, **options: object) -> Answered:
        return side.ask("DELETE", at, body={"kind": "DeleteOptions", "apiVersion": "v1", **options})

    uid, old = made.meta["uid"], made.version
    side.ask("PATCH", path, body={"spec": {"suspend": True}}, content=MERGE)
    new = side.ask("GET", path).version
    notes: Notes = [
        delete(path, preconditions={"uid": "other"}).reported,
        delete(path, preconditions={"uid": uid, "resourceVersion": old}).reported,
        delete(path, preconditions={"uid": uid, "resourceVersion": new}, propagationPolicy="Background").reported,
        side.ask("GET", path).reported,
        delete(path, preconditions={"uid": uid}).reported,
    ]
    job = side.ask("POST", JOBS, body=a_job("deleted"))
    path = f"{JOBS}/deleted"
    first = delete(path, preconditions={"uid": job.meta["uid"]}, propagationPolicy="Foreground")
    there = side.ask("GET", path)
    again = delete(path, propagationPolicy="Foreground")
    notes += [
        (first.reported, there.reported, there.meta["finalizers"], "deletionTimestamp" in there.meta),
        (there.meta.get("deletionGracePeriodSeconds"), there.meta["generation"]),
        (again.reported, side.ask("GET", path).version == there.version),
        side.ask("POST", JOBS, body=a_job("deleted")).reported,
    ]
    bare = side.ask("PATCH", path, body={"metadata": {"finalizers": None}}, content=MERGE)
    return [*notes, bare.reported, side.ask("GET", path).reported]


def pods_that_end(side: Side) -> Notes:
    notes: Notes = []
    kinds = (
        ("waits", "", "Pending"),
        ("runs", "node", "Running"),
        ("ended", "node", "Succeeded"),
        ("bad", "node", "Failed"),
    )
    for finalizers in ([], ["tidegate.dev/test"]):
        for kind, node, phase in kinds:
            name = f"pod-{kind}-{len(finalizers)}"
            side.ask("POST", PODS, body=a_pod(name, node=node, finalizers=finalizers))
            before = set_phase(side, name, phase)
            deleted = side.ask("DELETE", f"{PODS}/{name}")
            there = side.ask("GET", f"{PODS}/{name}")
            notes.append((name, before.reported, deleted.reported, there.reported))
            if there.code == 200:
                again = side.ask("DELETE", f"{PODS}/{name}")
                same = side.ask("GET", f"{PODS}/{name}").version == there.version
                notes.append(
                    (there.meta["deletionGracePeriodSeconds"], there.version != before.version, again.reported, same)
                )
                if finalizers:
                    bare = side.ask("PATCH", f"{PODS}/{name}", body={"metadata": {"finalizers": None}}, content=MERGE)
                    notes.append((bare.reported, side.ask("GET", f"{PODS}/{name}").code))
    return notes


def what_may_be_changed_of_a_pod(side: Side) -> Notes:
    made = side.ask("POST", PODS, body=a_pod("changed", node="node"))

    def patch(body: Json) -> Answered:
        return side.ask("PATCH", f"{PODS}/changed", body=body, content=MERGE)

    first = patch(
        {"metadata": {"uid": made.meta["uid"], "annotations": {"a": "b"}}, "spec": {"activeDeadlineSeconds": 9}}
    )
    return [
        (
            first.reported,
            first.body["spec"]["activeDeadlineSeconds"],
            first.meta["annotations"],
            first.meta["generation"],
        ),
        patch({"metadata": {"uid": "other"}, "spec": {"activeDeadlineSeconds": 1}}).reported,
        patch({"spec": {"activeDeadlineSeconds": 10}}).reported,
        patch({"spec": {"activeDeadlineSeconds": None}}).reported,
        patch({"spec": {"terminationGracePeriodSeconds": 1}}).reported,
        (patch({"spec": {"activeDeadlineSeconds": 1}}).reported, side.ask("GET", f"{PODS}/changed").meta["generation"]),
        patch({"spec": {"activeDeadlineSeconds": 1}}).version == side.ask("GET", f"{PODS}/changed").version,
        (set_phase(side, "changed", "Running").meta["generation"], set_phase(side, "gone", "Running").reported),
    ]


def an_event(uid: str, reason: str) -> Json:
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "x", "uid": uid}
    return {
        "metadata": {"name": f"{uid}.{reason.lower()}"},
        "involvedObject": about,
        "reason": reason,
        "type": "Warning",
    }


def selectors(side: Side) -> Notes:
    for name, labels, phase in (
        ("sel-b", {"k": "v"}, "Running"),
        ("sel-a", {"k": "v", "l": "w"}, "Pending"),
        ("sel-c", {}, "Failed"),
    ):
        side.ask("POST", PODS, body=a_pod(name, node="node", labels={"case": "selectors", **labels}))
        set_phase(side, name, phase)
    for uid, reason in (("u1", "FailedCreate"), ("u1", "Other"), ("u2", "FailedCreate")):
        side.ask("POST", EVENTS, body=an_event(uid, reason))

    def names(path: str, **query: str) -> list[str]:
        listed = side.ask("GET", path, **query)
        return [item["metadata"]["name"] for item in listed.body["items"]]

    only = "case=selectors"
    brief = side.ask("GET", PODS, labelSelector=only, accept=METADATA_LIST).body["items"]
    return [
        names(PODS, labelSelector=only),
        names("/api/v1/pods", labelSelector=only),
        names(PODS, labelSelector=f"{only},k=v"),
        names(PODS, labelSelector=f"{only},l=w"),
        names(PODS, labelSelector=f"{only},k!=v"),
        names(PODS, labelSelector=only, fieldSelector="status.phase!=Pending"),
        names(PODS, labelSelector=only, fieldSelector="status.phase=Pending"),
        names(
            PODS, labelSelector=only, fieldSelector="status.phase!=Pending,status.phase!=Succeeded,status.phase!=Failed"
        ),
        names(EVENTS, fieldSelector="involvedObject.uid=u1"),
        names(EVENTS, fieldSelector="involvedObject.uid=u1,reason=FailedCreate"),
        [("spec" in item, item["metadata"]["name"]) for item in brief],
    ]


def pages(side: Side) -> Notes:
    for name in ("page-b", "page-a", "page-d"):
        side.ask("POST", RUNS, body={**a_run(name).built, "metadata": {"name": name, "labels": {"case": "pages"}}})
    query = {"labelSelector": "case=pages", "limit": "2"}
    first = side.ask("GET", RUNS, **query)
    late = a_run("page-c").labels({"case": "pages"}).built
    side.ask("POST", RUNS, body=late)
    side.ask("DELETE", f"{RUNS}/page-d")
    second = side.ask("GET", RUNS, **query, **{"continue": first.meta["continue"]})
    whole = side.ask("GET", RUNS, labelSelector="case=pages", limit="500")
    side.forget()
    return [
        [item["metadata"]["name"] for item in first.body["items"]],
        [item["metadata"]["name"] for item in second.body["items"]],
        (first.version == second.version, bool(second.meta.get("continue"))),
        ([item["metadata"]["name"] for item in whole.body["items"]], bool(whole.meta.get("continue"))),
        int(whole.version) > int(first.version),
        side.ask("GET", RUNS, **query, **{"continue": first.meta["continue"]}).reported,
    ]


def watches(side: Side) -> Notes:
    before = side.ask("GET", PODS).version
    for name in ("watch-a", "watch-b"):
        side.ask("POST", PODS, body=a_pod(name, node="node", labels={"case": "watches"}))
    middle = set_phase(side, "watch-a", "Running").version
    set_phase(side, "watch-a", "Running")
    side.ask("PATCH", f"{PODS}/watch-a", body={"metadata": {"annotations": {"a": "b"}}}, content=MERGE)
    set_phase(side, "watch-b", "Failed")
    set_phase(side, "watch-a", "Succeeded")
    last = side.ask("GET", f"{PODS}/watch-b").version
    side.ask("DELETE", f"{PODS}/watch-b")
    side.ask("DELETE", f"{PODS}/watch-a")
    query = {"fieldSelector": "status.phase!=Pending"}

    def is_last(found: list[Json]) -> bool:
        return (found[-1]["type"], found[-1]["object"]["metadata"]["name"]) == ("DELETED", "watch-a")

    def reported(version: str) -> list[object]:
        found = side.watch(PODS, version=version, enough=is_last, **query)
        objects = [(event["type"], event["object"]["metadata"], event["object"]["status"]) for event in found]
        return [
            (kind, meta["name"], status["phase"], meta["generation"], meta.get("deletionGracePeriodSeconds"))
            for kind, meta, status in objects
        ]

    deleted = side.watch(PODS, version=middle, enough=is_last, **query)[-2]["object"]["metadata"]
    notes: Notes = [reported(before), reported(middle), int(deleted["resourceVersion"]) > int(last)]
    side.forget()
    side.ask("POST", PODS, body=a_pod("watch-c", node="node"))
    expired = side.watch(PODS, version=before, enough=bool, **query)[0]
    return [*notes, expired["type"], expired["object"]["code"], expired["object"]["reason"]]


TABLE: tuple[Callable[[Side], Notes], ...] = (
    created_once,
    merged_patches,
    patches_by_operations,
    what_has_ended_stays,
    deletions,
    pods_that_end,
    what_may_be_changed_of_a_pod,
    selectors,
    pages,
    watches,
)


@pytest.mark.parametrize("requests", TABLE, ids=lambda requests: requests.__name__)
def test_both_answer_alike(real: RealSide, fake: FakeSide, requests: Callable[[Side], Notes]) -> None:
    assert requests(fake) == requests(real)

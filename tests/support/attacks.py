"""What an attacker tries with the service accounts of a release, or as a user without rights to pods."""

from dataclasses import dataclass
from typing import Any

from support.builders import a_pool, a_run, a_schedule, a_task
from support.chart import NAMESPACE, RELEASE, account
from support.kube import HTTPError, Kube

Json = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
ROLES = {part: f"{NAMESPACE}-{RELEASE}-{part}" for part in ("web", "mirror")}
ENFORCE = "pod-security.kubernetes.io/enforce"
USER = "mallory"


def a_role(name: str, rules: list[Json]) -> Json:
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}


def a_cluster_binding(name: str, role: str, kind: str, subject: str) -> Json:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": kind, "name": subject}],
    }


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A write by one of the accounts, which is tried without being carried out."""

    who: str
    manifest: Json | None = None
    kind: str = "pods"
    """Of what is patched."""
    name: str = ""
    patch: Json | list[Json] | None = None
    words: str

    def make(self, kube: Kube) -> None:
        """Raises HTTPError where it is refused."""
        attacker = kube.within("project").acting_as(self.who)
        if self.manifest is not None:
            attacker.create(self.manifest, dry_run=True)
            return
        assert self.patch is not None
        attacker.patch(self.kind, self.name, self.patch, strategic=not self.kind.endswith(".dev"), dry_run=True)

    def is_refused(self, kube: Kube) -> bool:
        """Whether a policy refuses it, in these words."""
        try:
            self.make(kube)
        except HTTPError as error:
            return self.words in str(error)
        return False

    def succeeds(self, kube: Kube) -> bool:
        """Whether the apiserver carries it out."""
        try:
            self.make(kube)
        except HTTPError:
            return False
        return True


def a_pod(name: str, labels: Json) -> Json:
    container = {"name": "task", "image": "busybox"}
    # Held where it is: it neither starts nor ends.
    spec = {"containers": [container], "schedulingGates": [{"name": "tests/held"}]}
    metadata = {"name": name, "namespace": "project", "labels": labels, "annotations": {"note": "n"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def a_namespace(name: str, labels: Json, **metadata: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels, **metadata}}


def a_binding(*, namespace: str = "project", role: str = ROLES["web"], name: str = "") -> Json:
    who = {"kind": "ServiceAccount", "name": f"{RELEASE}-web", "namespace": NAMESPACE}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name or role, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [who],
    }


def a_job(*, namespace: str = "project", owners: list[Json] | None = None) -> Json:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    metadata = {"name": "job", "namespace": namespace, "ownerReferences": owners or []}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}


def a_deployment(name: str = "deployment", *, namespace: str = "project", owners: list[Json] | None = None) -> Json:
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    metadata = {"name": name, "namespace": namespace, "ownerReferences": owners or []}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def placed(manifest: Json) -> Json:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": "project"}}


def owner(kind: str = "TaskRun", *, api: str = "tidegate.dev/v1alpha1", controller: bool = True) -> Json:
    return {"apiVersion": api, "kind": kind, "name": "run", "uid": "0", "controller": controller}


PROJECT = {"tidegate.dev/project": "true", ENFORCE: "baseline"}
TWO = a_binding()
TWO["subjects"].append({"apiGroup": RBAC, "kind": "User", "name": USER})
ATTACKS = {
    "a namespace that allows access to nodes": Attack(
        who=account("web"),
        manifest=a_namespace("evil", {**PROJECT, "tidegate.dev/allow-host-access": "true"}),
        words="gives a namespace the labels of a project",
    ),
    "a namespace that enforces nothing": Attack(
        who=account("web"),
        manifest=a_namespace("evil", {"tidegate.dev/project": "true"}),
        words="the web app makes projects",
    ),
    "a namespace that enforces privileged": Attack(
        who=account("web"),
        manifest=a_namespace("evil", {**PROJECT, ENFORCE: "privileged"}),
        words="the web app makes projects",
    ),
    "a namespace that is no project": Attack(
        who=account("web"), manifest=a_namespace("evil", {ENFORCE: "baseline"}), words="the web app makes projects"
    ),
    "a namespace like those of Kubernetes": Attack(
        who=account("web"), manifest=a_namespace("kube-evil", PROJECT), words="are no projects"
    ),
    "a namespace with an annotation of a controller": Attack(
        who=account("web"),
        manifest=a_namespace("evil", PROJECT, annotations={"scheduler.alpha.kubernetes.io/node-selector": "a=b"}),
        words="no annotation but",
    ),
    "a run in kube-system": Attack(
        who=account("web"), manifest=a_run("r").namespace("kube-system").built, words="the web app writes nothing in"
    ),
    "a run in the release's namespace": Attack(
        who=account("web"), manifest=a_run("r").namespace(NAMESPACE).built, words="the web app writes nothing in"
    ),
    "a binding to a person": Attack(
        who=account("mirror"),
        manifest={**a_binding(), "subjects": [{"apiGroup": RBAC, "kind": "User", "name": USER}]},
        words="and to no other",
    ),
    "a binding to one more": Attack(who=account("mirror"), manifest=TWO, words="and to no other"),
    "a binding to the other account": Attack(
        who=account("mirror"), manifest=a_binding(role=ROLES["mirror"]), words="and to no other"
    ),
    "a binding to an account of that name elsewhere": Attack(
        who=account("mirror"),
        manifest={
            **a_binding(),
            "subjects": [{"kind": "ServiceAccount", "name": f"{RELEASE}-web", "namespace": "project"}],
        },
        words="and to no other",
    ),
    "a binding where there is no project": Attack(
        who=account("mirror"), manifest=a_binding(namespace="plain"), words="binds in projects alone"
    ),
    "a binding in kube-system": Attack(
        who=account("mirror"), manifest=a_binding(namespace="kube-system"), words="binds in projects alone"
    ),
    "a binding by another name": Attack(
        who=account("mirror"), manifest=a_binding(name="mine"), words="each by a RoleBinding of its name"
    ),
    "a Job that nothing owns": Attack(
        who=account("operator"), manifest=a_job(), words="makes Jobs that a TaskRun controls"
    ),
    "a Job that another kind owns": Attack(
        who=account("operator"),
        manifest=a_job(owners=[owner("ConfigMap", api="v1")]),
        words="makes Jobs that a TaskRun controls",
    ),
    "a Job that a TaskRun owns and doesn't control": Attack(
        who=account("operator"),
        manifest=a_job(owners=[owner(controller=False)]),
        words="makes Jobs that a TaskRun controls",
    ),
    "a Job in kube-system": Attack(
        who=account("operator"), manifest=a_job(namespace="kube-system", owners=[owner()]), words="makes no Jobs in"
    ),
    "a Deployment that nothing owns": Attack(
        who=account("operator"), manifest=a_deployment(), words="makes Deployments that a WorkerPool controls"
    ),
    "a Deployment that a TaskRun owns": Attack(
        who=account("operator"),
        manifest=a_deployment(owners=[owner()]),
        words="makes Deployments that a WorkerPool controls",
    ),
    "a Deployment in kube-system": Attack(
        who=account("operator"),
        manifest=a_deployment(namespace="kube-system", owners=[owner("WorkerPool")]),
        words="makes no Deployments in",
    ),
    "another image of a Deployment of another owner": Attack(
        who=account("operator"),
        kind="deployments",
        name="theirs",
        patch={"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "evil"}]}}}},
        words="makes Deployments that a WorkerPool controls",
    ),
    "a pool as the owner of a Deployment of another owner": Attack(
        who=account("operator"),
        kind="deployments",
        name="theirs",
        patch={"metadata": {"ownerReferences": [owner("WorkerPool")]}},
        words="takes over no Deployment of another",
    ),
    "a run of the operator's in kube-system": Attack(
        who=account("operator"), manifest=a_run("r").namespace("kube-system").built, words="makes no runs in"
    ),
    "a patch of a pod of another owner": Attack(
        who=account("operator"),
        name="theirs",
        patch={"spec": {"activeDeadlineSeconds": 1}},
        words="pods that it manages",
    ),
    "another image": Attack(
        who=account("operator"),
        name="ours",
        patch={"spec": {"containers": [{"name": "task", "image": "evil"}]}},
        words="activeDeadlineSeconds alone",
    ),
    "another toleration": Attack(
        who=account("operator"),
        name="ours",
        patch=[{"op": "add", "path": "/spec/tolerations/-", "value": {"operator": "Exists"}}],
        words="activeDeadlineSeconds alone",
    ),
    "no scheduling gate": Attack(
        who=account("operator"),
        name="ours",
        patch=[{"op": "remove", "path": "/spec/schedulingGates"}],
        words="activeDeadlineSeconds alone",
    ),
    "another label": Attack(
        who=account("operator"),
        name="ours",
        patch={"metadata": {"labels": {"app": "other"}}},
        words="labels, finalizers and owners",
    ),
    "a finalizer": Attack(
        who=account("operator"),
        name="ours",
        patch={"metadata": {"finalizers": ["tests/held"]}},
        words="labels, finalizers and owners",
    ),
    "another annotation": Attack(
        who=account("operator"),
        name="ours",
        patch={"metadata": {"annotations": {"note": "m"}}},
        words="stopped-after alone",
    ),
    "an annotation less": Attack(
        who=account("operator"),
        name="ours",
        patch={"metadata": {"annotations": {"note": None}}},
        words="stopped-after alone",
    ),
    "an inline task of who may not create pods": Attack(
        who=USER, manifest=a_run("r").namespace("project").built, words="you may not create pods"
    ),
    "variables of who may not create pods": Attack(
        who=USER,
        manifest=placed(a_run("r").task_ref("any").spec(env=[{"name": "A", "value": "a"}]).built),
        words="you may not create pods",
    ),
    "a Task of who may not create pods": Attack(
        who=USER, manifest=placed(a_task("t")), words="you may not create pods"
    ),
    "another image of a Task by who may not create pods": Attack(
        who=USER,
        kind="tasks.tidegate.dev",
        name="kept",
        patch={"spec": {"image": "evil"}},
        words="you may not create pods",
    ),
    "a WorkerPool of who may not create pods": Attack(
        who=USER, manifest=placed(a_pool("p")), words="you may not create pods"
    ),
    "a Schedule of who may not create pods": Attack(
        who=USER, manifest=placed(a_schedule("s")), words="you may not create pods"
    ),
}

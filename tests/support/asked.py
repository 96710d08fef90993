"""An operator that leads by its Lease and is asked what runs wait for: found as pods are, shown a real token."""

from pathlib import Path
from typing import Any

from support.callers import SignedIn
from support.operator import OperatorProcess
from support.rights import RELEASE
from support.runs import Json
from support.servers import free_port, wait_until
from support.web import Stack

TASK = {"image": "busybox", "command": ["true"]}
POD = "operator-0"


class Asked:
    """An operator at work for one project in the pod ``operator-0``, and web processes that ask it."""

    def __init__(self, stack: Stack, folder: Path, *, pod: str = POD, **settings: str) -> None:
        """``settings``: of the operator."""
        self.stack, self.folder, self.name, self.port = stack, folder, pod, free_port()
        self.release = stack.runs.kube.within(RELEASE)
        for account in ("default", "web", "stranger"):
            self.release.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
        spec = {"containers": [{"name": "operator", "image": "tidegate/operator"}]}
        self.release.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec})
        self.pod(phase="Running", podIP="127.0.0.1", podIPs=[{"ip": "127.0.0.1"}])
        self.operator = OperatorProcess(
            stack.plane,
            log=folder / "operator.log",
            identity=pod,
            namespaces=stack.project,
            lease_namespace=RELEASE,
            lease_duration_seconds="3",
            lease_renew_deadline_seconds="2",
            lease_retry_seconds="0.3",
            why_port=str(self.port),
            why_callers=f"system:serviceaccount:{RELEASE}:web",
            **settings,
        )
        stack.runs.queue("shut", concurrencyLimit=0)

    def pod(self, **status: Any) -> None:
        self.release.patch("pods", self.name, {"status": status}, subresource="status")

    def holder(self, name: str) -> None:
        self.release.patch("leases", "tidegate-operator", {"spec": {"holderIdentity": name}})

    def token(self, account: str = "web") -> Path:
        file = self.folder / account
        file.write_text(self.release.token(account, audience="tidegate-operator"))
        return file

    def settings(self, **changes: Any) -> Json:
        """Those of a web process that asks it."""
        return {
            "operator_token_file": self.token(),
            "operator_lease_namespace": RELEASE,
            "operator_port": self.port,
        } | changes

    def me(self, **changes: Any) -> SignedIn:
        return self.stack.parts("web", **self.settings(**changes)).sign_in()

    def waiting(self, *names: str) -> None:
        """Runs that wait in a queue that admits no run."""
        for name in names:
            self.stack.runs.create(name, task=TASK, queue="shut", priority=5 if name.startswith("urgent") else 0)


def why(me: SignedIn, run: str) -> Json:
    """What the web app answers of a run."""
    answer = me.get(f"runs/{run}/why")
    assert answer.status_code == 200, answer.text
    reported: Any = answer.json
    return dict(reported)


def until_answered(me: SignedIn, run: str, reason: str) -> Json:
    wait_until(lambda: why(me, run)["reason"] == reason, what=f"{run} to wait for {reason}")
    return why(me, run)


def unknown(me: SignedIn, run: str) -> str:
    """Why the answer isn't known."""
    reported = why(me, run)
    assert set(reported) == {"reason", "message"}
    assert reported["reason"] == "Unknown"
    message: str = reported["message"]
    return message

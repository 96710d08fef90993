"""The cluster that ``kubectl`` would talk to. kubectl itself reads the files: their rules are not written a second time here."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
import time
from typing import Any, Callable, Mapping, NamedTuple, Optional

from tidegate.errors import ConfigurationError

KUBECTL_SECONDS = 30
PLUGIN_TOKEN_SECONDS = 60.0
"""A token of a credential plugin is used that long before the plugin is asked again; plugins keep theirs themselves."""


Section = Mapping[str, Any]
"""A section of a kubeconfig, which any program may have written."""


class Kubeconfig(NamedTuple):
    """A cluster and how to prove who asks."""

    server: str
    namespace: str
    authorization: Callable[[], str]
    context: Optional[ssl.SSLContext]


def read() -> Kubeconfig:
    """The current context. Raises ConfigurationError where there is none, or one that asks a person for a password."""
    command = ["kubectl", "config", "view", "--raw", "--flatten", "--minify", "-o", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False)
    except FileNotFoundError:
        raise ConfigurationError(
            "nothing says where runs go: set TIDEGATE_API_URL and TIDEGATE_API_KEY, or have kubectl on the PATH"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"kubectl can't be run: {error}") from None
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise ConfigurationError(
            f"nothing says where runs go: set TIDEGATE_API_URL and TIDEGATE_API_KEY, or give kubectl a context ({words})"
        )
    found = json.loads(done.stdout)
    try:
        cluster, context = found["clusters"][0]["cluster"], found["contexts"][0]["context"]
        user = found["users"][0]["user"] if found.get("users") else {}
        server = cluster["server"]
    except (KeyError, IndexError, TypeError):
        raise ConfigurationError("the kubeconfig's current context names no cluster and user") from None
    plugin = _Plugin(user["exec"], cluster) if user.get("exec") else None
    return Kubeconfig(
        server=server,
        namespace=context.get("namespace") or "default",
        authorization=plugin.authorization if plugin else _authorization(user),
        context=_tls(cluster, user if plugin is None else plugin.certificate()) if server.startswith("https") else None,
    )


def _authorization(user: Section) -> Callable[[], str]:
    token = user.get("token")
    if token:
        return lambda: f"Bearer {token}"
    if user.get("tokenFile"):
        return lambda: f"Bearer {_file(user['tokenFile'])}"
    if user.get("client-certificate-data"):
        return lambda: ""
    raise ConfigurationError("the kubeconfig's user has neither a token, a certificate nor a credential plugin")


def _file(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"can't read the kubeconfig's token: {error}") from None


def _tls(cluster: Section, user: Section) -> ssl.SSLContext:
    data = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(cadata=base64.b64decode(data).decode() if data else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if user.get("client-certificate-data"):
        # Python reads a key from files alone; these are ours, and gone at once.
        with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
            paths = []
            for name in ("client-certificate-data", "client-key-data"):
                paths.append(os.path.join(folder, name))
                with open(os.open(paths[-1], os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(base64.b64decode(user[name]))
            context.load_cert_chain(*paths)
    return context


class _Plugin:
    """A program that hands out credentials, as clouds have them."""

    def __init__(self, said: Section, cluster: Section) -> None:
        self._said, self._cluster = said, cluster
        self._status: Section = {}
        self._asked: Optional[float] = None

    def authorization(self) -> str:
        token = self._ask().get("token")
        return f"Bearer {token}" if token else ""

    def certificate(self) -> Section:
        status = self._ask()
        return {
            f"client-{name}-data": base64.b64encode(status[field].encode()).decode()
            for name, field in (("certificate", "clientCertificateData"), ("key", "clientKeyData"))
            if status.get(field)
        }

    def _ask(self) -> Section:
        if self._asked is not None and time.monotonic() - self._asked < PLUGIN_TOKEN_SECONDS:
            return self._status
        spec: dict[str, object] = {"interactive": False}
        if self._said.get("provideClusterInfo"):
            fields = ("server", "certificate-authority-data")
            spec["cluster"] = {field: self._cluster[field] for field in fields if self._cluster.get(field)}
        info = {"apiVersion": self._said["apiVersion"], "kind": "ExecCredential", "spec": spec}
        environment = {
            **os.environ,
            **{one["name"]: one["value"] for one in self._said.get("env") or ()},
            "KUBERNETES_EXEC_INFO": json.dumps(info),
        }
        command = [self._said["command"], *(self._said.get("args") or ())]
        try:
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=KUBECTL_SECONDS, check=True)
            self._status = json.loads(done.stdout)["status"]
        except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            raise ConfigurationError(f"the kubeconfig's credential plugin {command[0]} gave nothing: {error}") from None
        self._asked = time.monotonic()
        return self._status

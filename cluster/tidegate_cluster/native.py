"""A cluster made of name spaces on this host, for where no container engine is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import (
    addresses,
    archive,
    cgroups,
    commands,
    components,
    failing,
    host,
    kubeconfig,
    locks,
    network,
    node_images,
    pki,
    processes,
    programs,
    tools,
    waiting,
)
from .addresses import Addresses
from .api import Api
from .components import Taint
from .errors import ClusterError
from .machine import Machine
from .records import CONTROL_NODE, Options, Record, Store, boot_id

_READY_SECONDS = 180.0
_CNI_DIRECTORIES = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_CONTROL_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns")
_NODE_PROGRAMS = ("containerd", "kubelet", "kube-proxy")
_FIREWALL = "kube-router"


@dataclass(frozen=True, slots=True)
class NativeCluster:
    """One cluster by name."""

    name: str
    store: Store

    @property
    def directory(self) -> Path:
        return self.store.directory(self.name)

    def healthy(self) -> bool:
        """Whether all of it is up: then `up` has nothing to do."""
        record = self.store.load(self.name)
        if record is None or not record.ready or record.boot != boot_id():
            return False
        control = self._machine(CONTROL_NODE)
        wanted = (*_CONTROL_PROGRAMS, *_NODE_PROGRAMS, *([_FIREWALL] if record.network_policies else []))
        if not control.alive or not all(control.running(name) for name in wanted):
            return False
        return self._api(record.addresses).status("/readyz", timeout=5) == 200

    def up(self, options: Options | None = None) -> None:
        """Make it from nothing; on failure nothing is left but its logs."""
        options = options or Options()
        packages = (*host.NODE_PACKAGES, *(host.FIREWALL_PACKAGES if options.network_policies else ()))
        host.ensure(packages, settings=self.store.settings)
        built = programs.require(settings=self.store.settings)
        self.down()
        with failing.undone_on_failure(keep_logs=self._keep_logs, down=self.down):
            record = self._claim(options)
            self._authority(record.addresses)
            self._boot(record, node=CONTROL_NODE, index=1, built=built)
            self._start_control(record)
            record.ready = True
            self.store.save(record)

    def down(self) -> None:
        """Leave nothing of it, however far it came and whatever crashed."""
        record = self.store.load(self.name)
        processes.kill_marked(self.directory)
        if record:
            network.remove(record.addresses)
            for node in record.nodes:
                cgroups.remove(record.addresses.cgroup(node))
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def add_node(self, node: str, *, taints: Sequence[Taint] = ()) -> None:
        """Add a node and wait until it is ready; it gets all images of the first."""
        record = self._require()
        if node in record.nodes:
            raise ClusterError(f"cluster {self.name} has a node {node} already: choose another name, or remove it")
        index = next(index for index in range(2, addresses.MOST_NODES + 2) if index not in record.nodes.values())
        if index > addresses.MOST_NODES:
            raise ClusterError(f"cluster {self.name} has {addresses.MOST_NODES} nodes, and has no room for more")
        try:
            built = programs.require(settings=self.store.settings)
            self._boot(record, node=node, index=index, built=built, taints=taints)
            self._start_kubelet(record, node=node, index=index)
            self._machine(node).start("kube-proxy", *components.proxy(addresses=record.addresses, node=node))
            self._copy_images(self._machine(node))
            self._wait_node(record.addresses, node=node)
            self._start_firewall(record, node=node)
        except BaseException:
            self.remove_node(node)
            raise

    def kill_node(self, node: str, *, power: bool) -> None:
        """Let a node fail: its kubelet and containerd, while its pods go on, or with `power` all of it."""
        self._require_node(node)
        machine = self._machine(node)
        if power:
            processes.kill_marked(machine.directory)
        else:
            for program in ("kubelet", "containerd"):
                machine.kill(program)

    def restart_node(self, node: str) -> None:
        """End a node's kubelet and containerd and start them again, as an upgrade of the node does. Its pods go on."""
        record, index = self._require_node(node)
        machine = self._machine(node)
        for program in ("kubelet", "containerd"):
            machine.kill(program)
        self._start_containerd(machine)
        self._start_kubelet(record, node=node, index=index)
        self._wait_node(record.addresses, node=node)

    def freeze_node(self, node: str) -> None:
        """Let a node answer no more: its kubelet stands still, while its pods go on."""
        self._require_node(node)
        self._machine(node).freeze("kubelet")

    def thaw_node(self, node: str) -> None:
        """Let a frozen node answer again."""
        self._require_node(node)
        self._machine(node).thaw("kubelet")

    def remove_node(self, node: str) -> None:
        """Throw a node away and mark it in the cluster as gone for good."""
        record, index = self._require_node(node)
        processes.kill_marked(self._machine(node).directory)
        network.disconnect(record.addresses, index=index)
        cgroups.remove(record.addresses.cgroup(node))
        shutil.rmtree(self._machine(node).directory, ignore_errors=True)
        del record.nodes[node]
        self.store.save(record)
        self._kubectl("delete", "node", node, "--ignore-not-found", "--wait=false")

    def load(self, archives: Sequence[Path]) -> None:
        """Import image archives into every node that runs."""
        record = self._require()
        machines = [machine for node in record.nodes if (machine := self._machine(node)).running("containerd")]
        # Two at once: one unpacks while the other is being read.
        with ThreadPoolExecutor(max_workers=2) as pool:
            for machine in machines:
                for _ in pool.map(lambda path, machine=machine: node_images.import_archive(machine, path), archives):
                    pass

    # -- parts of `up` --

    def _claim(self, options: Options) -> Record:
        settings = self.store.settings
        with locks.locked(settings.locks / "networks.lock", waiting_for="another cluster to choose its network"):
            records = [self.store.load(name) for name in self.store.names()]
            plan = addresses.choose(
                first=settings.first_network,
                taken={record.number for record in records if record and record.provider == "native"},
                routes=network.host_routes(),
                stack=options.family,
            )
            record = Record(
                name=self.name,
                provider="native",
                number=plan.number,
                boot=boot_id(),
                family=options.family,
                network_policies=options.network_policies,
            )
            self.store.save(record)
            # From here on the bridge's route shows clusters of other state directories that the network is taken.
            network.create_bridge(plan)
        return record

    def _authority(self, plan: Addresses) -> None:
        authority = pki.Authority(directory=self.directory / "pki")
        authority.create()
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        authority.issue(
            name="apiserver",
            subject="/CN=kube-apiserver",
            names=[
                *(f"DNS:{name}" for name in names),
                "IP:127.0.0.1",
                *(f"IP:{each.node(1)}" for each in plan.families),
                *(f"IP:{each.apiserver_service}" for each in plan.families),
            ],
        )
        admin = authority.issue(name="admin", subject="/O=system:masters/CN=admin")
        kubeconfig.write(
            self.store.kubeconfig(self.name),
            server=_server(plan),
            ca=authority.ca,
            name=f"tidegate-{self.name}",
            certificate=admin,
        )

    def _boot(self, record: Record, *, node: str, index: int, built: Path, taints: Sequence[Taint] = ()) -> None:
        record.nodes[node] = index
        self.store.save(record)
        plan = record.addresses
        machine = self._machine(node)
        self._configure(record, machine=machine, index=index, taints=taints)
        cgroups.create(plan.cgroup(node))
        machine.boot(programs=built, pki=self.directory / "pki")
        network.connect(plan, machine=machine, index=index)
        network.route_pods(
            plan, machines={n: m for name, n in record.nodes.items() if (m := self._machine(name)).alive}
        )
        self._start_containerd(machine)

    def _start_containerd(self, machine: Machine) -> None:
        machine.start("containerd", "--config=/run/tidegate/node/containerd.toml")

    def _start_kubelet(self, record: Record, *, node: str, index: int) -> None:
        # A kubelet that finds no containerd ends at once.
        machine = self._machine(node)
        waiting.until(lambda: node_images.answers(machine), what=f"containerd of {node}", seconds=_READY_SECONDS)
        machine.start("kubelet", *components.kubelet(addresses=record.addresses, index=index, node=node))

    def _start_firewall(self, record: Record, *, node: str) -> None:
        # It asks for its node's object, which is there once the kubelet is.
        if record.network_policies:
            command = components.firewall(addresses=record.addresses, node=node)
            self._machine(node).start(_FIREWALL, *command, first=components.FIREWALL_PATH)

    def _configure(self, record: Record, *, machine: Machine, index: int, taints: Sequence[Taint]) -> None:
        plan, node = record.addresses, machine.name
        authority = pki.Authority(directory=self.directory / "pki")
        users = {"kubelet": f"/O=system:nodes/CN=system:node:{node}", "kube-proxy": "/CN=system:kube-proxy"}
        if node == CONTROL_NODE:
            for name in ("kube-controller-manager", "kube-scheduler"):
                users[name] = f"/CN=system:{name}"
            users["coredns"] = "/O=system:masters/CN=coredns"
        config = machine.directory / "config"
        (config / "cni").mkdir(parents=True, exist_ok=True)
        if record.network_policies:
            users[_FIREWALL] = f"/O=system:masters/CN={_FIREWALL}"
            programs_first = config / Path(components.FIREWALL_PATH).name
            programs_first.mkdir(exist_ok=True)
            shutil.copy2(tools.require(_FIREWALL, settings=self.store.settings), programs_first / _FIREWALL)
            for name, script in components.FIREWALL_PROGRAMS.items():
                (programs_first / name).write_text(script)
                (programs_first / name).chmod(0o755)
        for user, subject in users.items():
            certificate = authority.issue(
                name=node if user == "kubelet" else f"{node}-{user}",
                subject=subject,
                names=[f"DNS:{node}", *(f"IP:{each.node(index)}" for each in plan.families)],
            )
            kubeconfig.write(
                config / f"{user}.kubeconfig", server=_server(plan), ca=authority.ca, name=user, certificate=certificate
            )
        cni_bin = [path for path in _CNI_DIRECTORIES if Path(path, "bridge").exists()]
        files = components.config_files(
            addresses=plan,
            index=index,
            node=node,
            cni_bin=cni_bin,
            taints=taints,
            network_policies=record.network_policies,
        )
        for name, content in files.items():
            (config / name).write_text(content)

    def _start_control(self, record: Record) -> None:
        plan, machine = record.addresses, self._machine(CONTROL_NODE)
        api = self._api(plan)
        machine.start("etcd", *components.etcd())
        machine.start("kube-apiserver", *components.apiserver(addresses=plan))
        self._load_pause(machine)
        self._wait(machine, what="the apiserver", until=lambda: api.status("/readyz") == 200)
        machine.start("kube-controller-manager", *components.controller_manager())
        machine.start("kube-scheduler", *components.scheduler())
        machine.start("kubelet", *components.kubelet(addresses=plan, index=1, node=CONTROL_NODE))
        machine.start("kube-proxy", *components.proxy(addresses=plan, node=CONTROL_NODE))
        machine.start("coredns", "-conf", "/run/tidegate/node/Corefile")
        self._wait_node(plan, node=CONTROL_NODE)
        self._start_firewall(record, node=CONTROL_NODE)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait(machine, what="the default service account", until=lambda: api.status(account) == 200)
        dns = f"http://{plan.first.node_url(1)}:8181/ready"
        self._wait(machine, what="cluster DNS", until=lambda: commands.answers(dns))

    def _wait(self, machine: Machine, *, what: str, until: Callable[[], bool]) -> None:
        started = [path.name for path in (machine.directory / "processes").iterdir()]

        def met() -> bool:
            for program in started:
                if not machine.running(program):
                    raise ClusterError(f"{program} of {machine.name} ended: {machine.last_words(program)}")
            return until()

        waiting.until(met, what=f"{what} of cluster {self.name}", seconds=_READY_SECONDS)

    def _wait_node(self, plan: Addresses, *, node: str) -> None:
        api = self._api(plan)
        self._wait(self._machine(node), what=node, until=lambda: _ready(api.get(f"/api/v1/nodes/{node}")))

    # -- images --

    def _load_pause(self, machine: Machine) -> None:
        catatonit = shutil.which("catatonit")
        assert catatonit is not None
        path = self.store.settings.cache / "images/pause.tar"
        archive.write(
            path,
            reference=components.PAUSE_IMAGE,
            layers=[archive.layer_of({"/catatonit": Path(catatonit)})],
            config={"Entrypoint": ["/catatonit", "-P"], "User": "65535:65535"},
        )
        self._wait(machine, what="containerd", until=lambda: node_images.answers(machine))
        node_images.import_archive(machine, path)

    def _copy_images(self, target: Machine) -> None:
        self._wait(target, what="containerd", until=lambda: node_images.answers(target))
        source = self._machine(CONTROL_NODE)
        listed = source.run(*node_images.ctr(), "images", "list", "-q").split()
        names = [name for name in listed if not name.startswith("sha256:")]
        # --local: without it ctr may end before it has written the last of what it got from containerd.
        command = (*node_images.ctr(), "images", "export", "--local", "-", *names)
        with source.popen(*command, stdout=subprocess.PIPE) as exporting:
            assert exporting.stdout is not None
            node_images.import_stream(target, exporting.stdout.fileno())
            _, complaints = exporting.communicate()
        if exporting.returncode:
            raise ClusterError(f"can't copy the images: {commands.last_line(complaints.decode(errors='replace'))}")

    # -- small helpers --

    def _machine(self, node: str) -> Machine:
        return Machine(name=node, directory=self.store.node_directory(self.name, node))

    def _api(self, plan: Addresses) -> Api:
        directory = self.directory / "pki"
        certificate = pki.Certificate(certificate=directory / "admin.crt", key=directory / "admin.key")
        return Api(url=_server(plan), ca=directory / "ca.crt", certificate=certificate)

    def _kubectl(self, *args: str) -> str:
        kubectl = programs.require(settings=self.store.settings) / "kubectl"
        return commands.run(kubectl, f"--kubeconfig={self.store.kubeconfig(self.name)}", *args)

    def _require(self) -> Record:
        record = self.store.load(self.name)
        if record is None or not record.ready:
            raise ClusterError(f"there is no cluster {self.name}: run `up --name {self.name}` first")
        return record

    def _require_node(self, node: str) -> tuple[Record, int]:
        record = self._require()
        if node not in record.nodes or node == CONTROL_NODE:
            added = ", ".join(name for name in record.nodes if name != CONTROL_NODE) or "none"
            raise ClusterError(f"cluster {self.name} has no added node {node} (there is: {added})")
        return record, record.nodes[node]

    def _keep_logs(self) -> Path:
        kept = self.store.settings.cache / "logs" / self.name
        shutil.rmtree(kept, ignore_errors=True)
        for logs in self.directory.glob("nodes/*/logs"):
            shutil.copytree(logs, kept / logs.parent.name)
        return kept


def _server(plan: Addresses) -> str:
    return f"https://{plan.first.node_url(1)}:6443"


def _ready(node: Mapping[str, Any] | None) -> bool:
    conditions = (node or {}).get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

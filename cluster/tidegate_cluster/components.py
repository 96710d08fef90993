"""Configuration files and command lines of what runs on a node; pure, so that tests compare them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from .addresses import FAMILIES, Addresses
from .machine import CONFIG, PKI

PAUSE_IMAGE = "tidegate.local/pause:1"
DOMAIN = "cluster.local"
Taint = Mapping[str, str]
"""key, value and effect, as in a node's spec."""
_CLIENT_RATE = ("--kube-api-qps=1000", "--kube-api-burst=2000")


def config_files(
    *,
    addresses: Addresses,
    index: int,
    node: str,
    cni_bin: Sequence[str],
    taints: Sequence[Taint] = (),
    network_policies: bool = False,
) -> Mapping[str, str]:
    """Files of a node's configuration directory by relative path."""
    return {
        "containerd.toml": _containerd(cni_bin=cni_bin),
        "cni/10-pods.conflist": _cni(addresses=addresses, index=index, routed=network_policies),
        "kubelet.json": json.dumps(kubelet_config(addresses=addresses, node=node, taints=taints), indent=1),
        "Corefile": _corefile(addresses=addresses),
    }


def _containerd(*, cni_bin: Sequence[str]) -> str:
    return f"""version = 3
[plugins."io.containerd.cri.v1.images"]
  # The images that a cluster needs are loaded into it; layers that have been unpacked are of no more use.
  discard_unpacked_layers = false
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE runc can't lower oom_score_adj, and no sandbox would start.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = {json.dumps(list(cni_bin))}
    conf_dir = "{CONFIG}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _cni(*, addresses: Addresses, index: int, routed: bool) -> str:
    # A bridge hands packets from pod to pod past the filters of forwarding; without one each is routed, and filtered.
    links = {"type": "ptp"} if routed else {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True}
    plugin = {
        **links,
        # Host and nodes have routes to all pods, so that every pod is seen by its own address.
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            # A range of each family, and each pod gets an address of each.
            "ranges": [[{"subnet": plan.node_pods(index)}] for plan in addresses.families],
            "routes": [{"dst": plan.everywhere} for plan in addresses.families],
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [plugin]}, indent=1)


def kubelet_config(*, addresses: Addresses, node: str, taints: Sequence[Taint] = ()) -> Mapping[str, object]:
    """The kubelet's configuration. It registers its node with `taints`."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.any_address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/{node}.crt",
        "tlsPrivateKeyFile": f"{PKI}/{node}.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "registerWithTaints": list(taints),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{addresses.cgroup(node)}",
        "failCgroupV1": False,  # Kubernetes >= 1.35 refuses hosts with version 1 otherwise
        "failSwapOn": False,
        "clusterDNS": [plan.node(1) for plan in addresses.families],
        "clusterDomain": DOMAIN,
        "resolvConf": "",
        "maxPods": 250,
        "serializeImagePulls": False,
        # The disk is the host's: how full that is should not evict pods of a demo.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
        "nodeLeaseDurationSeconds": 16,
    }


def _corefile(*, addresses: Addresses) -> str:
    return f""".:53 {{
  bind {" ".join(plan.node(1) for plan in addresses.families)}
  errors
  ready {addresses.first.node_url(1)}:8181
  kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {CONFIG}/coredns.kubeconfig
  }}
  cache 5
}}
"""


def etcd() -> Sequence[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return (
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        "--unsafe-no-fsync",  # the state is thrown away with the cluster
    )


def apiserver(*, addresses: Addresses) -> Sequence[str]:
    return (
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={addresses.any_address}",
        f"--advertise-address={addresses.first.node(1)}",
        "--secure-port=6443",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        f"--kubelet-client-certificate={PKI}/admin.crt",
        f"--kubelet-client-key={PKI}/admin.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        f"--service-cluster-ip-range={_listed(plan.services for plan in addresses.families)}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--shutdown-delay-duration=0s",
    )


def controller_manager() -> Sequence[str]:
    return (
        f"--kubeconfig={CONFIG}/kube-controller-manager.kubeconfig",
        "--leader-elect=false",
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        "--use-service-account-credentials",
        # Its own default of 20 requests a second holds a cluster to 3.4 Jobs a second.
        *_CLIENT_RATE,
        "--concurrent-job-syncs=20",
        "--node-monitor-grace-period=20s",
        "--horizontal-pod-autoscaler-sync-period=5s",
    )


def scheduler() -> Sequence[str]:
    return (f"--kubeconfig={CONFIG}/kube-scheduler.kubeconfig", "--leader-elect=false", *_CLIENT_RATE)


def kubelet(*, addresses: Addresses, index: int, node: str) -> Sequence[str]:
    return (
        f"--config={CONFIG}/kubelet.json",
        f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
        f"--hostname-override={node}",
        f"--node-ip={_listed(plan.node(index) for plan in addresses.families)}",
        "--root-dir=/var/lib/kubelet",
    )


def proxy(*, addresses: Addresses, node: str) -> Sequence[str]:
    return (
        f"--kubeconfig={CONFIG}/kube-proxy.kubeconfig",
        f"--hostname-override={node}",
        f"--cluster-cidr={_listed(plan.pods for plan in addresses.families)}",
        "--proxy-mode=nftables",
        # Outside the host's own network namespace these sysctls are read-only; zeros leave them alone.
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    )


FIREWALL_PATH = f"{CONFIG}/firewall"
"""Programs that the firewall finds before the host's own."""
_RESTORE = r"""#!/bin/sh
# kube-router 2.1.0 makes sets for IPv6 whose names begin with inet6:, and leaves that out in its rules. And it blocks
# neighbour discovery of pods that a policy selects; without that they reach nothing.
rule='-I KUBE-ROUTER-INPUT 1 -p ipv6-icmp --icmpv6-type'
sed -e 's/--match-set KUBE-/--match-set inet6:KUBE-/g' -e '/^-A KUBE-ROUTER-INPUT -p ipv6-icmp/d' \
    -e "s/^COMMIT\$/$rule 135 -j ACCEPT\n$rule 136 -j ACCEPT\nCOMMIT/" |
  PATH=/usr/sbin:/sbin:/usr/bin:/bin exec ip6tables-restore "$@"
"""
_SETS = r"""#!/bin/sh
# kube-router 2.1.0 has a list of sets for each family, and fills each with what `save` shows of both. Whichever it restores last
# undoes the other's changes. Shown none, it restores those of the family alone, and leaves sets behind that no rule uses any more.
case "$*" in save) exit 0 ;; esac
PATH=/usr/sbin:/sbin:/usr/bin:/bin exec ipset "$@"
"""
FIREWALL_PROGRAMS: Mapping[str, str] = {"ip6tables-restore": _RESTORE, "ipset": _SETS}
"""Scripts of these names stand before the host's own programs."""


def firewall(*, addresses: Addresses, node: str) -> Sequence[str]:
    """kube-router as what enforces NetworkPolicies, and nothing else."""
    enabled = {plan.family for plan in addresses.families}
    return (
        f"--kubeconfig={CONFIG}/kube-router.kubeconfig",
        f"--hostname-override={node}",
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-loadbalancer=false",
        f"--service-cluster-ip-range={_listed(plan.services for plan in addresses.families)}",
        *(f"--enable-{family}={str(family in enabled).lower()}" for family in FAMILIES["dual"]),
        "--health-port=0",
        "--metrics-port=0",
    )


def _listed(addresses: Iterable[str]) -> str:
    return ",".join(addresses)

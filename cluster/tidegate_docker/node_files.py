"""The files of a node image that are ours: how containerd, systemd and the cluster's volumes are set up in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

PROVISIONER_IMAGE: Final = "docker.io/tidegate/local-path-provisioner"
REGISTRY: Final = "http://172.31.255.1:5000"
"""The registry beside the engine, by the address of the engine's own bridge."""
_PAUSE: Final = "registry.k8s.io/pause:3.10.2"
_HELPER: Final = "docker.io/library/busybox:1.37"


def files(*, kubernetes: str, provisioner: str, specification: Mapping[str, Any]) -> Mapping[str, str]:
    """Texts by their paths in the image. `specification`: containerd's default of what a container is."""
    mirrors = {host: _mirror(host) for host in ("docker.io", "localhost:5000")}
    return {
        "etc/containerd/config.toml": _CONTAINERD,
        "etc/containerd/cni.template": _CNI,
        "etc/containerd/cri-base.json": json.dumps(_base(specification)),
        "etc/systemd/system/containerd.service.d/tidegate.conf": _CONTAINERD_UNIT,
        "etc/systemd/system/tidegate-images.service": _IMAGES_UNIT,
        "kind/version": kubernetes,
        "kind/manifests/default-cni.yaml": _CNI_NOTE,
        "kind/manifests/default-storage.yaml": _storage(provisioner),
        **{f"etc/containerd/certs.d/{host}/hosts.toml": text for host, text in mirrors.items()},
    }


def _mirror(host: str) -> str:
    return f'server = "https://{host}"\n[host."{REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n'


def _base(specification: Mapping[str, Any]) -> Mapping[str, Any]:
    made: dict[str, Any] = copy.deepcopy(dict(specification))
    made.setdefault("hooks", {}).setdefault("createContainer", []).append({"path": "/kind/bin/mount-product-files.sh"})
    made["process"].pop("rlimits", None)
    return made


_CONTAINERD: Final = f"""version = 3
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  discard_unpacked_layers = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{_PAUSE}"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
  tolerate_missing_hugetlb_controller = true
  # A host that lacks CAP_SYS_RESOURCE itself starts no sandbox otherwise.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/etc/cni/net.d"
    conf_template = "/etc/containerd/cni.template"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    base_runtime_spec = "/etc/containerd/cri-base.json"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = true
"""
_CNI: Final = """{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"""
# kind creates what it finds here; there is nothing to run.
_CNI_NOTE: Final = """apiVersion: v1
kind: ConfigMap
metadata: {name: pod-network, namespace: kube-system}
data: {made-by: containerd, from: /etc/containerd/cni.template}
"""
# What a host that lacks CAP_SYS_RESOURCE can't give, and nothing here needs.
_CONTAINERD_UNIT: Final = """[Service]
OOMScoreAdjust=
LimitNPROC=
LimitCORE=
LimitNOFILE=
"""
_IMAGES_UNIT: Final = """[Unit]
Description=Import the images of the control plane
After=containerd.service
Requires=containerd.service
Before=kubelet.service
ConditionPathExists=/kind/images.tar

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/bin/ctr --namespace=k8s.io images import --digests /kind/images.tar
ExecStartPost=/bin/rm -f /kind/images.tar

[Install]
WantedBy=multi-user.target
"""


def _storage(version: str) -> str:
    """kind's provisioner of volumes, Rancher's local-path, with what it needs."""
    namespace = "local-path-storage"
    role = {
        "rules": [
            {"apiGroups": [""], "resources": ["nodes", "persistentvolumeclaims", "configmaps", "pods/log"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["persistentvolumes", "pods"], "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
            {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list", "watch"]},
        ]
    }  # fmt: skip
    path = {"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/var/local-path-provisioner"]}
    helper = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "helper-pod", "image": _HELPER, "imagePullPolicy": "IfNotPresent"}],
        },
    }
    command = ["local-path-provisioner", "start", "--helper-image", _HELPER, "--config", "/etc/config/config.json"]
    container = {
        "name": "provisioner",
        "image": f"{PROVISIONER_IMAGE}:{version}",
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            # Of the pods that make and remove a volume's folder.
            {"name": "SERVICE_ACCOUNT_NAME", "value": "local-path-provisioner"},
            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
        ],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config/"}],
    }
    labels = {"app": "local-path-provisioner"}
    named = {"name": "local-path-provisioner", "namespace": namespace}
    items: list[Mapping[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "local-path-provisioner"},
            **role,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "local-path-provisioner"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "local-path-provisioner",
            },
            "subjects": [{"kind": "ServiceAccount", **named}],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "local-path-config", "namespace": namespace},
            "data": {
                "config.json": json.dumps({"nodePathMap": [path]}),
                "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
                "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
                "helperPod.yaml": json.dumps(helper),
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
                        "serviceAccountName": "local-path-provisioner",
                        "containers": [container],
                        "volumes": [{"name": "config", "configMap": {"name": "local-path-config"}}],
                    },
                },
            },
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "rancher.io/local-path",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1)

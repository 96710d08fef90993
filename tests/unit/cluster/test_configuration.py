"""What is written for the programs of a cluster."""

import json
import subprocess
from pathlib import Path

from tidegate_cluster import components, kind, stages
from tidegate_cluster.addresses import Addresses

PLAN = Addresses(201)


def files(*, index: int = 2, node: str = "node-2") -> dict[str, str]:
    return dict(components.config_files(addresses=PLAN, index=index, node=node, cni_bin=["/usr/lib/cni"]))


def test_pods_get_addresses_of_their_node() -> None:
    plugin = json.loads(files()["cni/10-pods.conflist"])["plugins"][0]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.201.17.0/24"}]]
    assert plugin["ipMasq"] is False


def test_kubelets_of_two_nodes_share_no_cgroup() -> None:
    first = components.kubelet_config(addresses=PLAN, node="node-1")["cgroupRoot"]
    second = components.kubelet_config(addresses=PLAN, node="node-2")["cgroupRoot"]
    other = components.kubelet_config(addresses=Addresses(202), node="node-1")["cgroupRoot"]
    assert len({first, second, other}) == 3


def test_cluster_dns_is_on_the_first_node() -> None:
    assert components.kubelet_config(addresses=PLAN, node="node-2")["clusterDNS"] == ["10.201.0.11"]
    assert "bind 10.201.0.11" in files()["Corefile"]


def test_a_node_registers_with_its_taints() -> None:
    taint = {"key": "example.com/spare", "value": "", "effect": "NoSchedule"}
    assert components.kubelet_config(addresses=PLAN, node="node-2", taints=[taint])["registerWithTaints"] == [taint]
    assert json.loads(files()["kubelet.json"])["registerWithTaints"] == []


def test_the_controller_manager_is_not_held_to_its_default_rate() -> None:
    wanted = {"--kube-api-qps=1000", "--kube-api-burst=2000", "--concurrent-job-syncs=20"}
    assert wanted <= set(components.controller_manager())


def test_kind_gets_the_same_rate_for_both_versions_of_kubeadm() -> None:
    old, new = (json.loads(patch) for patch in json.loads(kind.config(cgroups_v1=False))["kubeadmConfigPatches"])
    assert old["controllerManager"]["extraArgs"]["kube-api-qps"] == "1000"
    assert {"name": "kube-api-qps", "value": "1000"} in new["controllerManager"]["extraArgs"]


def test_kind_takes_a_host_with_version_1_of_cgroups_where_the_engine_has_one() -> None:
    def kubelet(*, cgroups_v1: bool) -> list[object]:
        patches = [
            json.loads(patch) for patch in json.loads(kind.config(cgroups_v1=cgroups_v1))["kubeadmConfigPatches"]
        ]
        return [patch["failCgroupV1"] for patch in patches if patch["kind"] == "KubeletConfiguration"]

    assert kubelet(cgroups_v1=True) == [False]
    assert kubelet(cgroups_v1=False) == []


def test_each_stage_of_a_fake_pod_has_a_name_and_a_condition() -> None:
    for complete in (True, False):
        documents = [json.loads(text) for text in stages.render(complete=complete).split("\n---\n")]
        names = [document["metadata"]["name"] for document in documents]
        assert len(names) == len(set(names))
        assert {"node-ready", "pod-running", "pod-ended", "pod-deleted"} <= set(names)
        assert all(document["spec"]["selector"]["matchExpressions"] for document in documents)


def test_where_policies_are_enforced_every_packet_of_a_pod_is_routed() -> None:
    made = components.config_files(addresses=PLAN, index=1, node="node-1", cni_bin=[], network_policies=True)
    (plugin,) = json.loads(made["cni/10-pods.conflist"])["plugins"]
    assert plugin["type"] == "ptp"
    (plugin,) = json.loads(files()["cni/10-pods.conflist"])["plugins"]
    assert plugin["type"] == "bridge"


def test_all_listens_and_is_reached_by_ipv6_where_that_is_the_family() -> None:
    addresses = Addresses(201, "ipv6")
    node = addresses.first.node(1)
    made = components.config_files(addresses=addresses, index=1, node="node-1", cni_bin=[])
    assert json.loads(made["kubelet.json"])["address"] == "::"
    assert f"ready [{node}]:8181" in made["Corefile"]
    assert json.loads(made["cni/10-pods.conflist"])["plugins"][0]["ipam"]["routes"] == [{"dst": "::/0"}]
    assert {"--bind-address=::", f"--advertise-address={node}"} <= set(components.apiserver(addresses=addresses))
    assert {"--enable-ipv4=false", "--enable-ipv6=true"} <= set(components.firewall(addresses=addresses, node="node-1"))


def test_a_dual_stack_gives_nodes_pods_and_services_addresses_of_both_families() -> None:
    addresses = Addresses(201, "dual")
    four, six = addresses.families
    made = components.config_files(addresses=addresses, index=2, node="node-2", cni_bin=[])
    ipam = json.loads(made["cni/10-pods.conflist"])["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": four.node_pods(2)}], [{"subnet": six.node_pods(2)}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    assert json.loads(made["kubelet.json"])["clusterDNS"] == [four.node(1), six.node(1)]
    assert f"bind {four.node(1)} {six.node(1)}" in made["Corefile"]
    kubelet = components.kubelet(addresses=addresses, index=2, node="node-2")
    assert f"--node-ip={four.node(2)},{six.node(2)}" in kubelet
    assert f"--cluster-cidr={four.pods},{six.pods}" in components.proxy(addresses=addresses, node="node-2")


def test_a_dual_stack_s_services_and_firewall_know_both_families() -> None:
    addresses = Addresses(201, "dual")
    four, six = addresses.families
    services = f"--service-cluster-ip-range={four.services},{six.services}"
    # The apiserver's own Service has one family: the first.
    assert {services, f"--advertise-address={four.node(1)}"} <= set(components.apiserver(addresses=addresses))
    firewall = set(components.firewall(addresses=addresses, node="node-1"))
    assert {services, "--enable-ipv4=true", "--enable-ipv6=true"} <= firewall


def test_the_firewall_is_shown_no_sets_of_the_other_family(tmp_path: Path) -> None:
    script = tmp_path / "ipset"
    script.write_text(components.FIREWALL_PROGRAMS["ipset"])
    done = subprocess.run(["/bin/sh", script, "save"], capture_output=True, check=True)
    assert done.stdout == b""

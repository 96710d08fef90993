"""Secrets of a release that Helm can't look for: a Job makes those that are missing, and with no more rights than that."""

import base64

import pytest
from support.chart import NAMESPACE, account, render
from support.kube import HTTPError, Kube
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError
from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.secrets import SecretKey, SecretKeyError, make_missing

BY_JOB = ("--set", "generateSecrets=job")


@pytest.fixture(scope="module")
def release(kube: Kube) -> Kube:
    if kube.find("namespaces", NAMESPACE) is None:
        kube.create_namespace(NAMESPACE)
    return kube.within(NAMESPACE)


@pytest.fixture
def cluster(plane: ControlPlane) -> Cluster:
    return Cluster.connect(plane.kubeconfig())


def value(secret: dict[str, dict[str, str]], key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def wanted() -> list[SecretKey]:
    """What the chart asks its Job for."""
    (job,) = (d for d in render(*BY_JOB) if d["metadata"]["name"].startswith("tidegate-secrets-"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    asked = {each["name"]: each.get("value", "") for each in container["env"]}["TIDEGATE_GENERATED_SECRETS"]
    return [SecretKey.parse(text) for text in asked.split(",")]


def test_secrets_are_made_once_and_then_left_alone(release: Kube, cluster: Cluster) -> None:
    asked = wanted()
    assert len(asked) == 5
    assert make_missing(cluster, NAMESPACE, asked) == [each.name for each in asked]
    before = {each.name: value(release.get("secrets", each.name), each.key) for each in asked}
    assert [len(before[each.name]) for each in asked] == [each.length for each in asked]
    assert len(set(before.values())) == len(asked)
    assert make_missing(cluster, NAMESPACE, asked) == []
    assert before == {each.name: value(release.get("secrets", each.name), each.key) for each in asked}


def test_a_secret_that_lacks_its_key_is_named_and_not_written_to(release: Kube, cluster: Cluster) -> None:
    release.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bare"}, "stringData": {"other": "x"}})
    with pytest.raises(SecretKeyError, match="Secret bare has no key password"):
        make_missing(cluster, NAMESPACE, [SecretKey(name="bare", key="password", length=20)])
    assert release.get("secrets", "bare")["data"].keys() == {"other"}


@pytest.mark.parametrize("text", ["", "name", "name/key", "name/key/8", "name/key/x", "/key/20", "name//20"])
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(SecretKeyError):
        SecretKey.parse(text)


def test_its_account_makes_secrets_and_reads_those_of_the_release_alone(release: Kube) -> None:
    for item in render(*BY_JOB, kinds=frozenset({"Role", "RoleBinding", "ServiceAccount"})):
        if item["metadata"]["name"] == "tidegate-secrets":
            release.apply(item)
    maker = release.acting_as(account("secrets"))
    maker.wait_until_allowed("create", "secrets")
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made-by-it"}}
    maker.create(body)
    with pytest.raises(HTTPError, match="forbidden"):
        maker.get("secrets", "made-by-it")
    with pytest.raises(HTTPError, match="forbidden"):
        maker.listed("secrets")
    with pytest.raises(HTTPError, match="forbidden"):
        maker.delete("secrets", "made-by-it")


def test_without_a_cluster_the_chart_refuses_to_make_passwords_and_names_them() -> None:
    with pytest.raises(ClusterError) as refused:
        render(in_cluster=())
    assert "tidegate-postgres (key password)" in str(refused.value)
    assert "generateSecrets=job" in str(refused.value)


def test_without_a_cluster_each_rendering_is_the_same() -> None:
    by_job = render(*BY_JOB, in_cluster=())
    assert by_job == render(*BY_JOB, in_cluster=())
    names = {d["metadata"]["name"] for d in by_job if d["kind"] == "Secret"}
    assert names == {"tidegate-dispatch"}, "it is empty, and the operator's"
    by_hand = render("--set", "generateSecrets=none", in_cluster=())
    assert not [d for d in by_hand if d["metadata"]["name"].startswith("tidegate-secrets")]


def test_secrets_of_ones_own_need_no_job() -> None:
    given = "admin.existingSecret=a,web.existingSecret=b,postgres.existingSecret=c,redis.existingSecret=d,pools.enabled=false"
    documents = render("--set", f"generateSecrets=job,{given}", in_cluster=())
    assert not [d for d in documents if d["metadata"]["name"].startswith("tidegate-secrets-")]

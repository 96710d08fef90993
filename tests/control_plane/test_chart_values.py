"""What can be set on each part of the chart: an apiserver takes all of it, and it is where it should be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from support.chart import CHART, NAMESPACE, RELEASE, Json, render
from support.kube import Kube
from tidegate_cluster import commands, programs, settings
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError

PARTS: Final = ("operator", "web", "live", "mirror", "migrate", "secrets", "postgres", "redis")
SERVERS: Final = ("operator", "web", "live", "mirror")
DIGEST: Final = f"sha256:{'a1' * 32}"
WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "Job"})

OPTIONS: Final[Json] = {
    "labels": {"example.com/tier": "background"},
    "annotations": {"example.com/owner": "team"},
    "podLabels": {"example.com/mesh": "in"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "jobs", "effect": "NoSchedule"}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}}
            ]
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "system-cluster-critical",
    "extraEnv": [
        {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ],
    "extraEnvFrom": [{"secretRef": {"name": "more", "optional": True}}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca", "optional": True}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/team", "readOnly": True}],
    "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
    "terminationGracePeriodSeconds": 45,
    "resources": {"requests": {"cpu": "1m"}, "limits": {"memory": "1Gi"}},
}
FULL: Final[Json] = {
    **{part: {**OPTIONS, "livenessProbe": {"periodSeconds": 20}} for part in PARTS},
    "commonLabels": {"example.com/team": "a"},
    "generateSecrets": "job",
}
MATRIX: Final[dict[str, Json]] = {
    "defaults": {},
    "everything set": FULL,
    "many replicas": {part: {"replicas": 3} for part in SERVERS},
    "some namespaces": {"namespaces": ["values-a", "values-b"], "projects": ["values-c"]},
    "the operator alone": {"web": {"enabled": False}, "image": {"digests": {"operator": DIGEST}}},
    "stores elsewhere": {
        "postgres": {"bundled": False, "external": {"url": "postgresql://t@db:5432/t", "existingSecret": "db"}},
        "redis": {"bundled": False, "external": {"existingSecret": "cache", "secretHasUrl": True}},
    },
    "a pooler": {
        "postgres": {"bundled": False, "external": {"url": "postgresql://p/t", "directUrl": "postgresql://db/t"}},
    },
    "a pooler in a Secret": {
        "postgres": {"bundled": False, "external": {"existingSecret": "db", "secretHasUrl": True}},
    },
    "an authority of one's own": {"trustedCA": {"configMap": "team-ca", "key": "bundle.pem"}},
    "an authority in a Secret": {"trustedCA": {"secret": "team-ca"}},
    "TLS between the parts": {"internalTLS": {"enabled": True}},
    "TLS by Secrets of one's own": {
        "internalTLS": {
            "enabled": True,
            "existingSecrets": {part: f"own-{part}" for part in ("operator", "web", "postgres", "redis")},
        }
    },
    "accounts of one's own": {part: {"serviceAccount": {"name": f"own-{part}"}} for part in SERVERS},
    "dashboards": {"monitoring": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Tidegate"}}}},
    "an Ingress": {"ingress": {"enabled": True, "host": "t.example", "tlsSecret": "t", "annotations": {"a": "b"}}},
    "pages and streams together": {"live": {"separate": False}, "policies": {"requireCreatePods": True}},
    "no volume, no policies": {
        "postgres": {"persistence": {"enabled": False}},
        "networkPolicy": {"enabled": False},
        "policies": {"enabled": False},
        "podDisruptionBudgets": False,
    },
}


def with_values(folder: Path, values: Mapping[str, Any]) -> list[Json]:
    file = folder / "values.yaml"
    file.write_text(json.dumps(values))
    return render("--values", str(file))


def part_of(documents: list[Json], part: str) -> Json:
    """Its Deployment, StatefulSet or Job."""
    (found,) = (
        d
        for d in documents
        if d["kind"] in WORKLOADS and d["metadata"]["labels"]["app.kubernetes.io/component"] == part
    )
    return found


def container_of(documents: list[Json], part: str) -> Json:
    (container,) = part_of(documents, part)["spec"]["template"]["spec"]["containers"]
    made: Json = container
    return made


def env_of(documents: list[Json], part: str) -> dict[str, Json]:
    env = container_of(documents, part)["env"]
    names = [each["name"] for each in env]
    assert len(names) == len(set(names)), f"a name stands twice: {names}"
    return {each["name"]: each for each in env}


@pytest.fixture(scope="module")
def namespaces(kube: Kube) -> None:
    for name in (NAMESPACE, "values-a", "values-b"):
        if kube.find("namespaces", name) is None:
            kube.create_namespace(name)
    for name in (f"{RELEASE}-web", "own-web"):  # a pod's account has to be there, the pod of `helm test` included
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}
        kube.apply(account)


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("name", MATRIX)
def test_an_apiserver_takes_what_is_rendered(plane: ControlPlane, tmp_path: Path, name: str) -> None:
    documents = with_values(tmp_path, MATRIX[name])
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    kubectl = programs.require(settings=settings.from_environment()) / "kubectl"
    taken = commands.run(
        kubectl,
        f"--kubeconfig={plane.kubeconfig()}",
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",  # the CRDs are there
        "--validate=strict",
        f"--filename={file}",
    )
    assert len(taken.splitlines()) == len(documents)
    assert all(line.endswith("serverside-applied (server dry run)") for line in taken.splitlines())


def test_each_part_has_its_options_where_they_belong(tmp_path: Path) -> None:
    documents = with_values(tmp_path, FULL)
    for part in PARTS:
        workload = part_of(documents, part)
        pod, container = workload["spec"]["template"], container_of(documents, part)
        assert workload["metadata"]["labels"].items() >= OPTIONS["labels"].items()
        assert workload["metadata"]["annotations"] == OPTIONS["annotations"]
        assert pod["metadata"]["labels"].items() >= OPTIONS["podLabels"].items()
        assert pod["metadata"]["annotations"] == OPTIONS["podAnnotations"]
        for option in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
            assert pod["spec"][option] == OPTIONS[option]
        (spread,) = pod["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == part
        assert OPTIONS["extraVolumes"][0] in pod["spec"]["volumes"]
        assert OPTIONS["extraVolumeMounts"][0] in container["volumeMounts"]
        assert container["envFrom"] == OPTIONS["extraEnvFrom"]
        assert container["lifecycle"] == OPTIONS["lifecycle"]
        assert container["resources"]["limits"] == OPTIONS["resources"]["limits"]
        env = env_of(documents, part)
        assert [env[each["name"]] for each in OPTIONS["extraEnv"]] == OPTIONS["extraEnv"]
    for part in SERVERS:
        probe = container_of(documents, part)["livenessProbe"]
        assert (probe["httpGet"]["path"], probe["periodSeconds"]) == ("/healthz", 20)
        assert part_of(documents, part)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 45


def test_a_probe_waits_for_a_part_that_is_slow_to_answer(tmp_path: Path) -> None:
    """A second, as Kubernetes has it, passes on a busy node: a restart, or a database taken out of its Service, makes it busier."""
    documents = with_values(tmp_path, {})
    found = 0
    for part in (*SERVERS, "postgres", "redis"):
        probes = {name: probe for name, probe in container_of(documents, part).items() if name.endswith("Probe")}
        assert probes, part
        for probe in probes.values():
            assert probe["timeoutSeconds"] >= 5, (part, probe)
        if startup := probes.get("startupProbe"):
            assert startup["periodSeconds"] * startup["failureThreshold"] >= 300, part
        found += len(probes)
    assert found == 3 * len(SERVERS) + 2 + 2


def test_common_labels_are_on_every_object_and_select_nothing(tmp_path: Path) -> None:
    labels = {"example.com/team": "a", "app.kubernetes.io/name": "mine", "tidegate.dev/project": "no"}
    documents = with_values(tmp_path, {"commonLabels": labels, "projects": ["values-c"], "crds": {"enabled": False}})
    for document in documents:
        labels = document["metadata"]["labels"]
        assert labels["example.com/team"] == "a", document["metadata"]["name"]
        if document["kind"] == "Namespace":
            assert labels["tidegate.dev/project"] == "true"
        else:
            assert labels["app.kubernetes.io/name"] == "tidegate"
        selector = document.get("spec", {}).get("selector") or {}
        assert "example.com/team" not in str(selector)


def test_a_variable_of_ones_own_stands_in_place_of_ours_and_no_name_stands_twice(tmp_path: Path) -> None:
    secret = {"name": "TIDEGATE_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "url"}}}
    values = {
        "web": {"env": {"TIDEGATE_LOG_LEVEL": "debug", "TIDEGATE_PUBLIC_URL": "https://a"}, "extraEnv": [secret]},
        "operator": {"env": {"TIDEGATE_LOG_LEVEL": "debug", "TIDEGATE_METRICS_BY_NAMESPACE": False}},
    }
    documents = with_values(tmp_path, values)
    web = env_of(documents, "web")
    assert web["TIDEGATE_DATABASE_URL"] == secret
    assert web["TIDEGATE_PUBLIC_URL"]["value"] == "https://a"
    assert env_of(documents, "operator")["TIDEGATE_LOG_LEVEL"]["value"] == "debug"
    assert env_of(documents, "mirror")["TIDEGATE_METRICS_BY_NAMESPACE"]["value"] == "false"


def test_an_option_of_all_parts_holds_for_each_that_has_none(tmp_path: Path) -> None:
    values = {
        "nodeSelector": {"pool": "all"},
        "priorityClassName": "low",
        "podAnnotations": {"all": "yes"},
        "web": {"nodeSelector": {"pool": "web"}, "podAnnotations": {"own": "yes"}},
        "generateSecrets": "job",
    }
    documents = with_values(tmp_path, values)
    pods = {part: part_of(documents, part)["spec"]["template"] for part in PARTS}
    assert {part: pod["spec"]["nodeSelector"]["pool"] for part, pod in pods.items()} == {
        **dict.fromkeys(PARTS, "all"),
        "web": "web",
    }
    assert {pod["spec"]["priorityClassName"] for pod in pods.values()} == {"low"}
    assert pods["web"]["metadata"]["annotations"] == {"all": "yes", "own": "yes"}


@pytest.mark.parametrize(
    ("values", "source"),
    [
        ({"configMap": "team-ca", "key": "bundle.pem"}, {"configMap": {"name": "team-ca"}}),
        ({"secret": "team-ca"}, {"secret": {"secretName": "team-ca"}}),
    ],
)
def test_what_connects_to_others_gets_the_authorities_as_a_file(tmp_path: Path, values: Json, source: Json) -> None:
    documents = with_values(tmp_path, {"trustedCA": values, "generateSecrets": "job"})
    pods = {part: part_of(documents, part)["spec"]["template"]["spec"] for part in PARTS}
    (pods["test"],) = (d["spec"] for d in documents if d["kind"] == "Pod")
    having = set()
    for part, pod in pods.items():
        (container,) = pod["containers"]
        named = [each["value"] for each in container["env"] if each["name"] == "TIDEGATE_CA_FILE"]
        mounts = [each for each in container["volumeMounts"] if each["name"] == "trusted-ca"]
        volumes = [each for each in pod["volumes"] if each["name"] == "trusted-ca"]
        assert len(named) == len(mounts) == len(volumes)
        if named:
            having.add(part)
            ((kind, there),) = source.items()
            items = [{"key": values.get("key", "ca.crt"), "path": Path(named[0]).name}]
            assert volumes == [{"name": "trusted-ca", kind: {**there, "items": items}}]
            assert mounts[0]["mountPath"] == str(Path(named[0]).parent)
            assert mounts[0]["readOnly"]
    assert having == {"web", "live", "mirror", "migrate", "test"}


def test_two_of_each_leave_room_in_a_postgres_of_a_hundred_connections_while_they_are_replaced(tmp_path: Path) -> None:
    replicas: Json = {part: {"replicas": 2} for part in ("web", "live", "mirror")}
    documents = with_values(tmp_path, replicas | {"ingress": {"enabled": True, "host": "t.example"}})
    most = 0
    for document in documents:
        pod = (
            document
            if document["kind"] == "Pod"
            else document["spec"]["template"]
            if "template" in document.get("spec", {})
            else None
        )
        if pod is None or document["metadata"]["labels"]["app.kubernetes.io/component"] in (
            "operator",
            "postgres",
            "redis",
        ):
            continue
        (container,) = pod["spec"]["containers"]
        env = {each["name"]: each.get("value") for each in container["env"]}
        surge = 1 if document["kind"] == "Deployment" else 0
        most += int(env["TIDEGATE_DATABASE_POOL_SIZE"] or "") * (document["spec"].get("replicas", 1) + surge)
    assert 50 < most <= 80, "of the 97 that are not kept for superusers"


def test_a_pooler_has_the_address_of_postgres_itself_beside_it(tmp_path: Path) -> None:
    given_as: dict[str, Json] = {
        "a pooler": {"value": "postgresql://db/t"},
        "a pooler in a Secret": {"valueFrom": {"secretKeyRef": {"name": "db", "key": "direct-url", "optional": True}}},
    }
    for name, given in given_as.items():
        documents = with_values(tmp_path, MATRIX[name])
        for part in ("web", "live", "mirror", "migrate"):
            assert env_of(documents, part)["TIDEGATE_DATABASE_DIRECT_URL"] == {
                "name": "TIDEGATE_DATABASE_DIRECT_URL",
                **given,
            }
    assert "TIDEGATE_DATABASE_DIRECT_URL" not in env_of(with_values(tmp_path, {}), "web")


def test_authorities_are_in_a_configmap_or_a_secret_and_not_in_both() -> None:
    with pytest.raises(ClusterError, match="one of configMap and secret"):
        render("--set", "trustedCA.configMap=a,trustedCA.secret=b")


def test_digests_win_over_tags(tmp_path: Path) -> None:
    values = {
        "image": {"tag": "1", "digests": {"web": DIGEST}},
        "postgres": {"image": {"digest": DIGEST}},
        "generateSecrets": "job",
    }
    documents = with_values(tmp_path, values)
    images = {part: container_of(documents, part)["image"] for part in PARTS}
    assert {part for part, image in images.items() if image.endswith(f"@{DIGEST}")} == {
        "web",
        "live",
        "mirror",
        "migrate",
        "secrets",
        "postgres",
    }
    assert images["operator"].endswith(":1")


def test_an_account_of_ones_own_is_bound_and_held_to_the_same(tmp_path: Path) -> None:
    documents = with_values(tmp_path, MATRIX["accounts of one's own"])
    text = yaml.safe_dump_all(documents)
    assert not [d for d in documents if d["kind"] == "ServiceAccount"]
    for part in SERVERS:
        assert part_of(documents, part)["spec"]["template"]["spec"]["serviceAccountName"] == f"own-{part}"
        assert f":{RELEASE}-{part}'" not in text, "a policy that names another account"
    subjects = {
        subject["name"]
        for d in documents
        if d["kind"] in ("RoleBinding", "ClusterRoleBinding")
        for subject in d["subjects"]
    }
    assert subjects <= {f"own-{part}" for part in SERVERS}
    assert (
        f"system:serviceaccount:{NAMESPACE}:own-web" in env_of(documents, "operator")["TIDEGATE_WHY_CALLERS"]["value"]
    )


def test_only_parts_with_more_than_one_pod_have_a_disruption_budget(tmp_path: Path) -> None:
    documents = with_values(tmp_path, {"web": {"replicas": 2}, "mirror": {"replicas": 1}})
    budgets = [d["metadata"]["name"] for d in documents if d["kind"] == "PodDisruptionBudget"]
    assert budgets == [f"{RELEASE}-web"]


def test_the_chart_works_below_another(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / "tidegate").symlink_to(CHART)
    dependency = {"name": "tidegate", "version": ">=0.0.0-0", "condition": "tidegate.enabled"}
    (parent / "Chart.yaml").write_text(
        json.dumps({"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]})
    )
    values = {
        "global": {"imageRegistry": "registry.example", "imagePullSecrets": ["pull"], "other": 1},
        "tidegate": {"enabled": True, "image": {"pullSecrets": [{"name": "own"}]}},
    }
    (parent / "values.yaml").write_text(json.dumps(values))
    documents = render(chart=parent)
    pod = part_of(documents, "web")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"].startswith("registry.example/tidegate/web:")
    assert pod["imagePullSecrets"] == [{"name": "own"}, {"name": "pull"}]
    assert render("--set", "tidegate.enabled=false", chart=parent) == []


@pytest.mark.parametrize(
    "option",
    [
        "web.afinity.nodeAffinity.x=1",
        "operator.extraEnv[0].value=x",
        "postgres.image.digest=latest",
        "redis.serviceAccount.name=x",
        "commonLabels.a.b=1",
    ],
)
def test_a_misspelt_option_is_refused(option: str) -> None:
    with pytest.raises(ClusterError, match=option.partition(".")[0]):
        render("--set", option)


def test_values_kept_of_an_older_chart_are_refused_by_the_name_of_what_they_lack() -> None:
    """As `--reuse-values` passes them: the defaults of the newer chart aren't among them."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    sections = [name for name, value in defaults.items() if isinstance(value, dict) and value]
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert schema["required"] == sections
    with pytest.raises(ClusterError, match="missing property 'monitoring'"):
        render("--set", "monitoring=null")

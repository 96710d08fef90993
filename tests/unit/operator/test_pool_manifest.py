"""manifests/pool: the Deployment of a pool, by exact values."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from tidegate_operator.manifests.pool import PoolSpecError, WorkerDefaults, applied_digest, build_deployment
from tidegate_operator.records.pool import PoolRecord

DEFAULTS = WorkerDefaults(address="tidegate-dispatch.tidegate.svc:8443", trust="PEM", api_url="http://api")


def a_pool_record(**spec: Any) -> PoolRecord:
    return PoolRecord(
        uid="uid-1",
        namespace="team",
        name="warm",
        version=1,
        generation=1,
        deleting=False,
        spec={"image": "runner:1", **spec},  # type: ignore[typeddict-item]
        status={},
    )


def built(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = build_deployment(a_pool_record(**spec), defaults=DEFAULTS)
    return found


def pod(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = built(**spec)["spec"]["template"]["spec"]
    return found


def worker(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in pod(**spec)["containers"] if c["name"] == "worker")
    return found


def env(**spec: Any) -> dict[str, str]:
    return {e["name"]: e.get("value", "") for e in worker(**spec)["env"]}


def test_a_deployment_is_the_pools_and_replaces_no_worker_before_another_is_there() -> None:
    made = built(replicas=3)
    assert made["metadata"]["name"] == f"warm-{hashlib.sha256(b'uid-1').hexdigest()[:8]}"
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("WorkerPool", "uid-1", True)
    spec = made["spec"]
    assert spec["replicas"] == 3
    assert spec["selector"] == {"matchLabels": {"tidegate.dev/pool": "warm"}}
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    assert spec["template"]["metadata"]["labels"] == {"tidegate.dev/pool": "warm"}


def test_a_worker_is_restricted_and_holds_a_token_for_the_operator_alone() -> None:
    made = pod()
    assert made["automountServiceAccountToken"] is False
    assert made["securityContext"]["runAsUser"] == 65532
    assert worker()["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    trust = next(v for v in made["volumes"] if v["name"] == "tidegate-trust")["projected"]["sources"]
    assert trust[0]["serviceAccountToken"]["audience"] == "tidegate"
    assert "secret" not in str(made["volumes"])


def test_a_worker_is_told_what_it_needs() -> None:
    found = env(slots=7, preload=["a.b"], memoryPerRun="64Mi", drainSeconds=5, env=[{"name": "MINE", "value": "1"}])
    assert found["TIDEGATE_DISPATCH_ADDRESS"] == DEFAULTS.address
    assert found["TIDEGATE_DISPATCH_SERVER_NAME"] == "tidegate-dispatch.tidegate.svc"
    assert found["TIDEGATE_POOL_SLOTS"] == "7"
    assert found["TIDEGATE_POOL_PRELOAD"] == '["a.b"]'
    assert found["TIDEGATE_POOL_MEMORY_PER_RUN"] == str(64 << 20)
    assert found["TIDEGATE_API_URL"] == "http://api"
    assert found["MINE"] == "1"
    assert "TIDEGATE_POOL_MEMORY_PER_RUN" not in env()


def test_its_grace_is_that_of_the_template_and_the_pods_is_long_enough_for_a_drain() -> None:
    template = {"spec": {"terminationGracePeriodSeconds": 7}}
    assert pod(drainSeconds=100, podTemplate=template)["terminationGracePeriodSeconds"] == 117
    assert env(drainSeconds=100, podTemplate=template)["TIDEGATE_POOL_GRACE_SECONDS"] == "7"
    assert pod()["terminationGracePeriodSeconds"] == 600 + 30 + 10


def test_a_template_adds_and_what_is_tidegates_own_stays() -> None:
    container = {
        "name": "worker",
        "command": ["sh"],
        "args": ["-c"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    template = {
        "metadata": {"labels": {"a": "b", "tidegate.dev/pool": "other"}, "annotations": {"x": "y"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 5,
            "nodeSelector": {"disk": "ssd"},
            "containers": [container, {"name": "side", "image": "s"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    }
    made = built(podTemplate=template)["spec"]["template"]
    assert made["metadata"]["labels"] == {"a": "b", "tidegate.dev/pool": "warm"}
    assert made["metadata"]["annotations"]["x"] == "y"
    assert made["spec"]["restartPolicy"] == "Always"
    assert "activeDeadlineSeconds" not in made["spec"]
    assert made["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert [c["name"] for c in made["spec"]["containers"]] == ["worker", "side"]
    (found, _) = made["spec"]["containers"]
    assert found["command"] == ["python", "-m", "tidegate.worker"]
    assert "args" not in found
    assert {m["mountPath"] for m in found["volumeMounts"]} == {"/v", "/tidegate", "/var/run/secrets/tidegate"}


def test_probes_end_a_hung_worker_within_a_minute_and_let_modules_load() -> None:
    made = worker()
    alive = made["livenessProbe"]
    assert alive["periodSeconds"] * alive["failureThreshold"] + alive["timeoutSeconds"] <= 60
    assert made["startupProbe"]["failureThreshold"] * made["startupProbe"]["periodSeconds"] == 600
    assert made["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"podTemplate": {"spec": {"shareProcessNamespace": True}}}, "shareProcessNamespace"),
        ({"podTemplate": {"spec": {"hostPID": True}}}, "hostPID"),
        ({"podTemplate": {"spec": {"hostNetwork": True}}}, "hostNetwork"),
        ({"memoryPerRun": "much"}, "memoryPerRun: much"),
        ({"memoryPerRun": 0}, "memoryPerRun: 0"),
        ({"podTemplate": {"spec": []}}, "are objects"),
        ({"podTemplate": {"spec": {"containers": {"a": 1}}}}, "is a list"),
    ],
)
def test_what_no_pool_can_have_is_refused_by_name(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(PoolSpecError, match=words):
        built(**spec)


def test_the_digest_is_another_for_another_manifest_and_the_same_for_the_same() -> None:
    assert applied_digest(built()) == applied_digest(built()) != applied_digest(built(replicas=2))
    other = build_deployment(a_pool_record(), defaults=replace(DEFAULTS, trust="NEW"))
    assert applied_digest(other) != applied_digest(built())


def test_numbers_beyond_their_bounds_count_as_the_bounds() -> None:
    assert built(replicas=10**9)["spec"]["replicas"] == 1000
    assert env(slots=10**9)["TIDEGATE_POOL_SLOTS"] == "256"
    assert env(slots="many")["TIDEGATE_POOL_SLOTS"] == "4"


def test_a_worker_has_the_authority_of_a_web_app_with_tls_beside_the_operators() -> None:
    made: Any = build_deployment(a_pool_record(), defaults=replace(DEFAULTS, api_trust="API PEM"))
    template = made["spec"]["template"]
    assert template["metadata"]["annotations"]["tidegate.dev/api-ca"] == "API PEM"
    (trust,) = (v for v in template["spec"]["volumes"] if v["name"] == "tidegate-trust")
    items = trust["projected"]["sources"][1]["downwardAPI"]["items"]
    assert {item["path"] for item in items} == {"ca.crt", "api-ca.crt"}
    found = {e["name"]: e.get("value") for e in template["spec"]["containers"][0]["env"]}
    assert found["TIDEGATE_API_CA_FILE"] == "/var/run/secrets/tidegate/api-ca.crt"
    assert "TIDEGATE_API_CA_FILE" not in env()

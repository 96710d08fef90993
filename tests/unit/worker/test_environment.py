"""References in variables are expanded as Kubernetes does, and the worker's own settings reach no run."""

import pytest
from tidegate.worker.environment import expand, for_run
from tidegate.worker.protocol import RunName, Start
from tidegate.worker.settings import SettingsError, environment_of_runs, from_environment

KNOWN = {"A": "1", "EMPTY": "", "B": "$(A)"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(EMPTY)z", "x1yz"),
        ("$(NOT)", "$(NOT)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(B)", "$(A)"),
        ("$A $ $( $(A", "$A $ $( $(A"),
        ("$()", "$()"),
        ("100%", "100%"),
    ],
)
def test_references(text: str, expanded: str) -> None:
    assert expand(text, KNOWN) == expanded


def test_what_of_the_workers_variables_reaches_runs() -> None:
    given = {
        "PATH": "/bin",
        "TIDEGATE_DISPATCH_TOKEN_FILE": "/token",
        "TIDEGATE_POOL": "warm",
        "TIDEGATE_POOL_SLOTS": "4",
        "TIDEGATE_API_URL": "http://web",
        "TIDEGATE_NAMESPACE": "team",
        "TIDEGATE_OF_MINE": "kept",
    }
    assert sorted(environment_of_runs(given)) == ["PATH", "TIDEGATE_API_URL", "TIDEGATE_NAMESPACE", "TIDEGATE_OF_MINE"]


def test_the_authority_of_the_web_app_is_the_workers_whatever_a_task_sets() -> None:
    start = Start(
        handover="h",
        run=RunName("r", "uid", "team", 1, "default", {}),
        task="t",
        entrypoint="a:b",
        max_attempts=1,
        env={"TIDEGATE_API_CA_FILE": "/of/the/task"},
        payload={},
        timeout=0,
        start_timeout=1,
        deadline=None,
        grace=1,
        token=None,
        result_max_bytes=1,
    )

    def made(base: dict[str, str]) -> str | None:
        return for_run(base, start, pool="p", directory="/d", api_url=None, has_token=False).get("TIDEGATE_API_CA_FILE")

    assert made({"TIDEGATE_API_CA_FILE": "/ca.crt"}) == "/ca.crt"
    assert made({}) == "/of/the/task"


def variables(**changes: str) -> dict[str, str]:
    return {
        "TIDEGATE_DISPATCH_ADDRESS": "operator.tidegate.svc:9443",
        "TIDEGATE_DISPATCH_SERVER_NAME": "dispatch",
        "TIDEGATE_DISPATCH_CA_FILE": "/ca",
        "TIDEGATE_DISPATCH_TOKEN_FILE": "/token",
        "TIDEGATE_POOL": "warm",
        "TIDEGATE_NAMESPACE": "team",
        "TIDEGATE_POOL_SLOTS": "4",
        "TIDEGATE_POOL_PRELOAD": '["a.b", "c"]',
        "TIDEGATE_POOL_DRAIN_SECONDS": "600",
        "TIDEGATE_POOL_GRACE_SECONDS": "30",
        "TIDEGATE_POOL_PORT": "8080",
        **changes,
    }


def test_settings() -> None:
    found = from_environment(variables(TIDEGATE_POOL_MEMORY_PER_RUN="1024"))
    assert (found.host, found.port, found.slots, found.preload) == ("operator.tidegate.svc", 9443, 4, ("a.b", "c"))
    assert (found.memory_per_run, found.api_url, found.directory) == (1024, None, "/tidegate/runs")
    assert from_environment(variables()).memory_per_run is None
    assert from_environment(variables(TIDEGATE_DISPATCH_ADDRESS="[fd00::1]:9443")).host == "fd00::1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEGATE_DISPATCH_ADDRESS", "host"),
        ("TIDEGATE_DISPATCH_ADDRESS", "host:0"),
        ("TIDEGATE_DISPATCH_ADDRESS", ":1"),
        ("TIDEGATE_POOL_SLOTS", "many"),
        ("TIDEGATE_POOL_PRELOAD", '{"a": 1}'),
        ("TIDEGATE_POOL_PRELOAD", "[1]"),
        ("TIDEGATE_POOL_MEMORY_PER_RUN", "64Mi"),
        ("TIDEGATE_POOL_DRAIN_SECONDS", "-1"),
        ("TIDEGATE_POOL_PORT", "65536"),
        ("TIDEGATE_NAMESPACE", ""),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment(variables(**{name: value}))

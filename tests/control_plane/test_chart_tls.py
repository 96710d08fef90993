"""TLS between the parts of the release, as the chart sets it up."""

import pytest
from support.chart import RELEASE, Json, render

ON = "internalTLS.enabled=true"
OWN = ",".join(f"internalTLS.existingSecrets.{part}=own-{part}" for part in ("operator", "web", "postgres", "redis"))
KINDS = frozenset({"Deployment", "StatefulSet", "Job", "Secret", "Role", "Service", "ConfigMap", "Pod"})
PEERS = {
    "web": {"operator", "postgres", "redis"},
    "live": {"postgres", "redis"},
    "mirror": {"postgres", "redis"},
    "migrate": {"postgres"},
    "test": {"operator", "postgres", "redis"},
}
SHOWN = ("web", "postgres", "redis")


def parts(made: list[Json]) -> dict[str, Json]:
    """Specs of pods by their component."""
    found = {}
    for each in made:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = each["spec"]["template"]
            found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template["spec"]
        elif each["kind"] == "Pod":
            found["test"] = each["spec"]
    return found


def env(pod: Json) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}


def volume(pod: Json, name: str) -> Json | None:
    return next((each for each in pod["volumes"] if each["name"] == name), None)


def secrets(made: list[Json]) -> set[str]:
    return {each["metadata"]["name"] for each in made if each["kind"] == "Secret"}


def operators_rights(made: list[Json]) -> dict[str, list[str]]:
    (role,) = (each for each in made if each["kind"] == "Role" and each["metadata"]["name"].endswith("-operator-tls"))
    return {name: rule["verbs"] for rule in role["rules"] for name in rule["resourceNames"]}


def test_it_is_off_by_default() -> None:
    made = render(kinds=KINDS)
    assert not [name for name in secrets(made) if name.endswith(("-tls", "-ca"))]
    pods = parts(made)
    assert env(pods["operator"])["TIDEGATE_API_URL"].startswith("http://")
    assert env(pods["web"])["TIDEGATE_REDIS_URL"].startswith("redis://")


def test_each_part_verifies_those_that_it_connects_to_and_has_no_key_of_theirs() -> None:
    pods = parts(render("--set", ON, kinds=KINDS))
    for part, peers in PEERS.items():
        found = volume(pods[part], "peers")
        assert found is not None, part
        sources = [source["secret"] for source in found["projected"]["sources"]]
        assert {source["name"] for source in sources} == {f"{RELEASE}-{peer}-tls" for peer in peers}
        assert {item["key"] for source in sources for item in source["items"]} == {"ca.crt"}
    for part, pod in pods.items():
        shown = volume(pod, "tls")
        assert (shown is not None) == (part in SHOWN), part
        if shown is not None:
            assert shown["secret"]["secretName"] == f"{RELEASE}-{part}-tls"
    own = env(pods["web"])
    assert own["TIDEGATE_DATABASE_URL"].endswith("?sslmode=verify-full&sslrootcert=/etc/tidegate/peers/postgres.crt")
    assert own["TIDEGATE_REDIS_URL"] == f"rediss://{RELEASE}-redis:6379/0?ssl_ca_certs=/etc/tidegate/peers/redis.crt"
    assert own["TIDEGATE_OPERATOR_SERVER_NAME"] == f"{RELEASE}-operator.tidegate.svc"
    assert "host " not in str(pods["postgres"])


def test_the_operator_fills_the_secrets_of_the_parts_and_may_write_no_others() -> None:
    made = render("--set", ON, kinds=KINDS)
    operator = env(parts(made)["operator"])
    wanted = dict(each.split("=") for each in operator["TIDEGATE_INTERNAL_CERTIFICATES"].split(","))
    assert wanted.keys() == {f"{RELEASE}-{part}-tls" for part in ("operator", *SHOWN)}
    assert wanted[f"{RELEASE}-web-tls"].split("|")[0] == f"{RELEASE}-internal.tidegate.svc"
    assert operator["TIDEGATE_API_URL"] == f"https://{RELEASE}-internal.tidegate.svc"
    rights = operators_rights(made)
    assert rights == {name: ["get", "update"] for name in (*wanted, f"{RELEASE}-internal-ca")}
    assert rights.keys() <= secrets(made)


def test_secrets_of_ones_own_are_read_alone() -> None:
    made = render("--set", f"{ON},{OWN}", kinds=KINDS)
    assert operators_rights(made) == {"own-operator": ["get"], "own-web": ["get"]}
    assert not {name for name in secrets(made) if name.endswith(("-tls", "-ca"))}
    pods = parts(made)
    assert "TIDEGATE_INTERNAL_CERTIFICATES" not in env(pods["operator"])
    assert env(pods["operator"])["TIDEGATE_API_TLS_SECRET"] == "own-web"
    postgres = volume(pods["postgres"], "tls")
    assert postgres is not None
    assert postgres["secret"]["secretName"] == "own-postgres"


@pytest.mark.parametrize("maker", ["helm", "job", "none"])
def test_it_is_rendered_the_same_whoever_makes_passwords(maker: str) -> None:
    made = render("--set", f"{ON},generateSecrets={maker}", kinds=frozenset({"Secret", "Role"}))
    ours = [each for each in made if each["metadata"]["name"].endswith(("-tls", "-internal-ca"))]
    assert len(ours) == 6
    assert not [each for each in ours if "data" in each], "what the operator has written is no business of an upgrade"


def test_stores_elsewhere_and_an_operator_alone_need_no_certificates() -> None:
    away = "postgres.bundled=false,postgres.external.url=postgresql://t@db/t,redis.bundled=false,redis.external.url=redis://r"
    made = render("--set", f"{ON},{away}", kinds=KINDS)
    assert {name for name in secrets(made) if name.endswith("-tls")} == {
        f"{RELEASE}-{part}-tls" for part in ("operator", "web")
    }
    pods = parts(made)
    assert volume(pods["live"], "peers") is None
    assert env(pods["web"])["TIDEGATE_DATABASE_URL"] == "postgresql://t@db/t"
    alone = render("--set", f"{ON},web.enabled=false", kinds=KINDS)
    assert not {name for name in secrets(alone) if name.endswith(("-tls", "-internal-ca"))}

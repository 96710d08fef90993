"""The chart's NetworkPolicies as Helm renders them, and the families of its Services. tests/network enforces them."""

from typing import Any

import pytest
from support.chart import render

Json = dict[str, Any]
EXTERNAL = "postgres.bundled=false,redis.bundled=false"
ELSEWHERE = "postgres.external.url=postgresql://t@db/t,redis.external.url=redis://cache"
METADATA = "169.254.0.0/16"


def policies(*values: str) -> dict[str, Json]:
    """The policies by `namespace/name`, without the release's own."""
    options = [f"--set{'-json' if value.endswith('[]') else ''}={value}" for value in values]
    return {
        f"{policy['metadata']['namespace']}/{policy['metadata']['name']}".removeprefix("tidegate/tidegate-"): policy[
            "spec"
        ]
        for policy in render(*options, kinds=frozenset({"NetworkPolicy"}))
    }


def parts_of(rule: Json) -> list[str]:
    """The parts of the release that a rule leads to."""
    return [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for peer in rule.get("to", [])
        if "matchLabels" in peer.get("podSelector", {})
    ]


def ports_of(rule: Json) -> list[int]:
    return [port["port"] for port in rule.get("ports", []) if port["protocol"] == "TCP"]


def leads_to(spec: Json) -> set[tuple[str, int]]:
    """Parts and ports."""
    return {(part, port) for rule in spec["egress"] for part in parts_of(rule) for port in ports_of(rule)}


def elsewhere(spec: Json) -> list[Json]:
    """Rules that lead out of the release, but those for names and the apiserver."""
    return [rule for rule in spec["egress"] if rule.get("to") and not parts_of(rule)]


def test_metrics_are_for_namespaces_that_are_named() -> None:
    def may_read(*values: str) -> dict[str, Any]:
        return {
            name: rule["from"]
            for name, spec in policies(*values).items()
            for rule in spec["ingress"]
            if rule["ports"] == [{"port": "metrics"}]
        }

    labelled: Json = {"namespaceSelector": {"matchLabels": {"tidegate.dev/metrics": "true"}}}
    parts = ("live", "mirror", "operator", "web")
    assert may_read() == {part: [labelled] for part in parts}
    prometheus = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
    with_one = may_read("networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus")
    assert with_one == {part: [prometheus] for part in parts}
    assert may_read("networkPolicy.metricsFrom=[]") == {}


def test_every_part_is_denied_all_that_isnt_named_in_and_out() -> None:
    found = policies("generateSecrets=job")
    assert found.keys() == {"operator", "web", "live", "mirror", "migrate", "secrets", "test", "postgres", "redis"}
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in found.values())
    stores = {("postgres", 5432), ("redis", 6379)}
    assert {name: leads_to(spec) for name, spec in found.items()} == {
        "operator": set(),
        "web": stores | {("operator", 8081)},
        "live": stores,
        "mirror": stores,
        "migrate": {("postgres", 5432)},
        "secrets": set(),
        "test": stores | {("web", 8080), ("live", 8080)},
        "postgres": set(),
        "redis": set(),
    }
    assert [name for name, spec in found.items() if spec["egress"] == []] == ["postgres", "redis"]


def test_without_egress_what_is_connected_to_is_free_but_for_stores() -> None:
    found = policies("networkPolicy.egress=false")
    assert {name for name, spec in found.items() if "Egress" in spec["policyTypes"]} == {"postgres", "redis"}


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        (f"{EXTERNAL},{ELSEWHERE}", [[5432], [6379]]),
        (
            (
                f"{EXTERNAL},postgres.external.url=postgresql://t:a@[fd00::1]:6000/t?sslmode=require,"
                "postgres.external.directUrl=postgresql://t@db:6001/t,redis.external.url=rediss://:p@cache:6380/0"
            ),
            [[6000, 6001], [6380]],
        ),
        (
            (
                f"{EXTERNAL},postgres.external.url=postgresql://t@a:5433\\,b/t?port=99,"
                "redis.external.url=redis+sentinel://a:26379\\,b:26380/main/0"
            ),
            [[5433, 5432, 99], [26379, 26380, 6379]],
        ),
        (f"{EXTERNAL},{ELSEWHERE},networkPolicy.postgres.ports={{1}},networkPolicy.redis.ports={{2}}", [[1], [2]]),
        (
            (
                f"{EXTERNAL},postgres.external.secretHasUrl=true,postgres.external.existingSecret=s,"
                "redis.external.secretHasUrl=true,redis.external.existingSecret=s"
            ),
            [[], []],
        ),
    ],
)
def test_the_ports_of_external_stores_come_from_their_urls(values: str, ports: list[list[int]]) -> None:
    found = policies(values)
    for part in ("web", "live"):
        assert [ports_of(rule) for rule in elsewhere(found[part])] == ports
    assert [ports_of(rule) for rule in elsewhere(found["migrate"])] == ports[:1]


def test_a_store_may_be_looked_for_in_one_place() -> None:
    (rule, *_) = elsewhere(
        policies(f"{EXTERNAL},{ELSEWHERE},networkPolicy.postgres.to[0].ipBlock.cidr=10.0.0.5/32")["web"]
    )
    assert rule == {"ports": [{"port": 5432, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.5/32"}}]}


def test_the_web_app_reaches_those_who_sign_people_in_and_the_mail_server() -> None:
    provider = "signIn.existingSecret=s,signIn.oidc.clientId=c,signIn.oidc.discoveryUrl=https://id.example:8443/x"
    mail = "mail.host=mail,mail.port=465,mail.from=a@b,web.publicUrl=https://t"
    found = policies(f"{provider},{mail},signIn.google.clientId=g")
    (rule,) = elsewhere(found["web"])
    assert ports_of(rule) == [8443, 443, 465]
    assert elsewhere(found["live"]) == []


def test_webhooks_lead_to_public_addresses_and_to_those_that_are_allowed() -> None:
    (rule,) = elsewhere(policies("webhooks.allow={10.20.0.0/16}")["mirror"])
    four, six, translated, allowed = (peer["ipBlock"] for peer in rule["to"])
    assert "ports" not in rule
    assert {"10.0.0.0/8", METADATA, "100.100.100.200/32"} <= set(four["except"])
    assert six == {"cidr": "2000::/3", "except": []}
    assert translated["cidr"] == "64:ff9b::/96"
    assert "64:ff9b::a9fe:0/112" in translated["except"]
    assert allowed == {"cidr": "10.20.0.0/16"}


def test_proxies_are_reached_by_the_parts_that_are_told_of_them() -> None:
    found = policies(
        "web.extraEnv[0].name=HTTPS_PROXY,web.extraEnv[0].value=http://proxy:3128,mirror.extraEnv[0].name=http_proxy,mirror.extraEnv[0].value=http://[fd00::1]"
    )
    assert [ports_of(rule) for rule in elsewhere(found["web"])] == [[3128]]
    assert [ports_of(rule) for rule in elsewhere(found["mirror"])] == [[], [80]]
    assert elsewhere(found["live"]) == []


def test_what_may_connect_to_any_address_may_not_ask_a_cloud_for_credentials() -> None:
    found = policies(f"{EXTERNAL},{ELSEWHERE},networkPolicy.tasks.namespaces={{a}},networkPolicy.tasks.internet=true")
    blocks = [
        peer["ipBlock"]
        for spec in found.values()
        for rule in spec["egress"]
        for peer in rule.get("to", [])
        if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    assert len(blocks) > 6
    assert all(METADATA in block["except"] for block in blocks)
    # A rule without `to` is for names and for the apiserver, whose ports no metadata service has.
    bare = {port["port"] for spec in found.values() for r in spec["egress"] if "to" not in r for port in r["ports"]}
    assert bare == {53, 5353, 443, 6443, 8443, 16443}


def test_more_may_be_allowed_to_all_parts() -> None:
    values = "networkPolicy.egressTo[0].ports[0].port=9999"
    found = policies(values)
    rule = {"ports": [{"port": 9999}]}
    assert {name for name, spec in found.items() if rule in spec["egress"]} == found.keys() - {"postgres", "redis"}


def test_names_and_the_apiserver_may_be_looked_for_in_one_place() -> None:
    found = policies(
        "networkPolicy.dns.ports={53},networkPolicy.dns.to[0].namespaceSelector.matchLabels.a=b",
        "networkPolicy.apiserver.ports={443},networkPolicy.apiserver.to[0].ipBlock.cidr=fd00::1/128",
    )
    names, apiserver = found["operator"]["egress"]
    assert names["to"] == [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]
    assert {(port["protocol"], port["port"]) for port in names["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert apiserver == {"ports": [{"port": 443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "fd00::1/128"}}]}


def test_pods_of_runs_have_policies_only_where_that_is_asked_for() -> None:
    own = policies().keys()
    found = {name: spec for name, spec in policies("networkPolicy.tasks.namespaces={a}").items() if name not in own}
    assert found.keys() == {"a/tidegate-runs", "a/tidegate-pools"}
    for spec in found.values():
        assert (spec["policyTypes"], spec["ingress"]) == (["Ingress", "Egress"], [])
    assert leads_to(found["a/tidegate-runs"]) == {("web", 8081)}
    assert leads_to(found["a/tidegate-pools"]) == {("web", 8081), ("operator", 8443)}
    assert elsewhere(found["a/tidegate-runs"]) == []
    assert found["a/tidegate-runs"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/managed-by": "tidegate"}}
    # Also where the release's own pods have none, and without a web app.
    alone = policies(
        "networkPolicy.enabled=false,networkPolicy.tasks.namespaces={a},web.enabled=false,pools.enabled=false"
    )
    assert alone.keys() == {"a/tidegate-runs"}
    assert leads_to(alone["a/tidegate-runs"]) == set()


def test_services_have_the_families_that_are_asked_for() -> None:
    def families(*options: str) -> set[str]:
        found = render(*options, kinds=frozenset({"Service"}))
        assert len(found) == 6
        return {str([made["spec"].get("ipFamilyPolicy"), made["spec"].get("ipFamilies")]) for made in found}

    assert families() == {"[None, None]"}
    both = families("--set", "services.ipFamilyPolicy=PreferDualStack,services.ipFamilies={IPv6,IPv4}")
    assert both == {"['PreferDualStack', ['IPv6', 'IPv4']]"}

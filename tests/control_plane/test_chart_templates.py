"""What the chart renders, and which values it refuses: Helm alone says, without a cluster."""

from typing import Any

import pytest
from support.chart import NAMESPACE, RELEASE, Json, render
from support.rights import BY_PROJECT, EVERYWHERE, GRANTING, IN_PROJECTS, PROJECT_RIGHTS
from tidegate_cluster.errors import ClusterError


def named(documents: list[Json], kind: str) -> dict[str, Json]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


def sorted_rules(rules: list[Json]) -> list[str]:
    return sorted(str(sorted((key, sorted(values)) for key, values in rule.items())) for rule in rules)


def rules(role: Json) -> list[str]:
    return sorted_rules(role["rules"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("operator.replicas=-1", "/operator/replicas"),
        ("operator.replicas=many", "/operator/replicas"),
        ("web.enabeld=true", "enabeld"),
        ("web.rights=some", "/web/rights"),
        ("namespaces={Not_A_Name}", "/namespaces/0"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("operator.env.DATABASE=x", "'DATABASE' does not match pattern '^TIDEGATE_"),
        ("admin.email=nobody", "/admin/email"),
        ("signIn.oidc.discoveryUrl=https://x.example/y", "signIn.oidc.clientId is needed"),
        ("signIn.github.clientId=x", "signIn.existingSecret is needed with a provider"),
        ("mail.host=mail.example", "mail.from is needed with mail.host"),
        ("mail.security=maybe", "/mail/security"),
        ("postgres.bundled=false", "postgres.external.url is needed when postgres.bundled is false"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(option: str, words: str) -> None:
    with pytest.raises(ClusterError) as refused:
        render("--set", option)
    assert words in str(refused.value)


def test_sign_in_and_mail_are_set_up_for_the_web_process_alone() -> None:
    sign_in = (
        "signIn.oidc.discoveryUrl=https://x.example/y,signIn.oidc.clientId=tidegate,signIn.existingSecret=providers"
    )
    mail = "mail.host=mail.example,mail.from=tidegate@example.com,mail.user=tidegate,mail.existingSecret=mail"
    deployments = named(
        render("--set", f"{sign_in},{mail},signIn.allowedDomains={{a.example,b.example}}"), "Deployment"
    )
    env = {
        name: {each["name"]: each for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
        for name, deployment in deployments.items()
    }
    web = env.pop("tidegate-web")
    assert web["TIDEGATE_OIDC_CLIENT_ID"]["value"] == "tidegate"
    assert web["TIDEGATE_OIDC_CLIENT_SECRET"]["valueFrom"]["secretKeyRef"] == {"name": "providers", "key": "oidc"}
    assert web["TIDEGATE_SMTP_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "mail", "key": "password"}
    assert web["TIDEGATE_OIDC_ALLOWED_DOMAINS"]["value"] == "a.example,b.example"
    for others in env.values():
        assert not [name for name in others if "OIDC" in name or "SMTP" in name]


def test_what_pods_call_is_a_service_of_its_own_that_no_ingress_leads_to() -> None:
    documents = render(
        "--set",
        "ingress.enabled=true,web.service.type=LoadBalancer,networkPolicy.webFrom[0].ipBlock.cidr=10.0.0.0/8",
    )
    services = named(documents, "Service")
    internal, web = services["tidegate-internal"]["spec"], services["tidegate-web"]["spec"]
    assert (internal["type"], [port["targetPort"] for port in internal["ports"]]) == ("ClusterIP", ["internal"])
    assert [port["targetPort"] for port in web["ports"]] == ["http"]
    (ingress,) = named(documents, "Ingress").values()
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    assert "tidegate-internal" not in {path["backend"]["service"]["name"] for path in paths}
    (operator,) = named(documents, "Deployment")["tidegate-operator"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "TIDEGATE_API_URL", "value": "http://tidegate-internal.tidegate.svc"} in operator["env"]
    rules = {
        port["port"]: rule.get("from")
        for rule in named(documents, "NetworkPolicy")["tidegate-web"]["spec"]["ingress"]
        for port in rule["ports"]
    }
    people, test = rules["http"]
    assert people == {"ipBlock": {"cidr": "10.0.0.0/8"}}
    assert test["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    of_runs = {"matchLabels": {"app.kubernetes.io/managed-by": "tidegate"}}
    of_pools = {"matchExpressions": [{"key": "tidegate.dev/pool", "operator": "Exists"}]}
    anywhere = [{"namespaceSelector": {}, "podSelector": each} for each in (of_runs, of_pools)]
    assert rules["internal"] == anywhere


@pytest.mark.parametrize(
    ("options", "url", "proxies"),
    [
        ((), "", "0"),
        (("ingress.enabled=true,ingress.host=t.example.com",), "", "1"),
        (("ingress.enabled=true,ingress.host=t.example.com,ingress.tlsSecret=tls",), "https://t.example.com", "1"),
        (
            (
                "ingress.enabled=true,ingress.host=t.example.com,ingress.tlsSecret=tls",
                "web.publicUrl=https://u.example.com",
            ),
            "https://u.example.com",
            "1",
        ),
        (("ingress.enabled=true,ingress.host=t.example.com,web.trustedProxies=2",), "", "2"),
    ],
)
def test_an_ingress_with_tls_makes_cookies_secure(options: tuple[str, ...], url: str, proxies: str) -> None:
    deployments = named(render(*(part for each in options for part in ("--set", each))), "Deployment")
    for name in ("tidegate-web", "tidegate-live"):
        (container,) = deployments[name]["spec"]["template"]["spec"]["containers"]
        reported = {each["name"]: each.get("value") for each in container["env"]}
        assert reported["TIDEGATE_PUBLIC_URL"] == url
        assert reported["TIDEGATE_TRUSTED_PROXIES"] == proxies


@pytest.mark.quick
def test_the_operator_can_be_had_alone() -> None:
    documents = render("--set", "web.enabled=false,crds.enabled=false")
    assert set(named(documents, "Deployment")) == {"tidegate-operator"}
    assert {d["kind"] for d in documents} == {
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "Secret",
        "Service",
        "ServiceAccount",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    assert {d["metadata"]["labels"]["app.kubernetes.io/component"] for d in documents} == {"operator"}
    (container,) = named(documents, "Deployment")["tidegate-operator"]["spec"]["template"]["spec"]["containers"]
    assert "TIDEGATE_API_URL" not in {e["name"] for e in container["env"]}


@pytest.mark.quick
def test_the_web_part_has_the_rights_that_its_tests_run_with_in_projects_alone() -> None:
    documents = render()
    roles = named(documents, "ClusterRole")
    bound = set(named(documents, "ClusterRoleBinding"))
    for part, role in BY_PROJECT.items():
        assert rules(roles[role]) == sorted_rules(IN_PROJECTS[part])
        assert role not in bound
    assert rules(roles["tidegate-tidegate-grants"]) == sorted_rules(GRANTING)
    everywhere = [rule for name in ("projects", "tokens") for rule in roles[f"tidegate-tidegate-{name}"]["rules"]]
    assert sorted_rules(everywhere) == sorted_rules([rule for rule in EVERYWHERE["web"] if "resources" in rule])
    for part in ("web", "mirror"):
        (container,) = named(documents, "Deployment")[f"tidegate-{part}"]["spec"]["template"]["spec"]["containers"]
        assert {"name": "TIDEGATE_PROJECT_RIGHTS", "value": PROJECT_RIGHTS} in container["env"]


def test_rights_in_all_namespaces_are_a_choice_that_needs_no_right_to_bind() -> None:
    documents = render("--set", "web.rights=cluster")
    assert set(BY_PROJECT.values()) <= set(named(documents, "ClusterRoleBinding"))
    assert not [
        role
        for role in named(documents, "ClusterRole").values()
        if "bind" in [verb for rule in role["rules"] or [] for verb in rule["verbs"]]
    ]
    for deployment in named(documents, "Deployment").values():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert "TIDEGATE_PROJECT_RIGHTS" not in {each["name"] for each in container["env"]}


def test_a_list_of_namespaces_grants_rights_in_these_alone() -> None:
    documents = render("--set", "namespaces={a,b}")
    # Whose a token is, no namespace holds; all else is granted by Roles.
    reviewers = {"tidegate-tidegate-tokens", "tidegate-tidegate-operator-tokens"}
    assert set(named(documents, "ClusterRoleBinding")) == set(named(documents, "ClusterRole")) == reviewers
    reviews = {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    for name, role in named(documents, "ClusterRole").items():
        assert role["rules"][0] == reviews
        # Whether another release has all namespaces, and no more of the cluster.
        assert [rule.get("resourceNames") for rule in role["rules"][1:]] == [["tidegate.dev:operator"]] * (
            "operator" in name
        )
    roles = {(d["metadata"]["namespace"], d["metadata"]["name"]) for d in documents if d["kind"] == "Role"}
    bindings = [(d["metadata"]["namespace"], d["metadata"]["name"]) for d in documents if d["kind"] == "RoleBinding"]
    wanted = {(n, f"tidegate-{c}") for n in ("a", "b") for c in ("operator", "web", "mirror", "live")}
    own = {(NAMESPACE, f"tidegate-{name}") for name in ("operator-lease", "operator-dispatch", "web-leader")}
    claims = {(namespace, "tidegate.dev:operator") for namespace in ("a", "b")}
    assert set(bindings) == roles - claims == wanted | own
    assert claims < roles
    for part in ("operator", "web", "live", "mirror"):
        deployment = named(documents, "Deployment")[f"tidegate-{part}"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"name": "TIDEGATE_NAMESPACES", "value": "a,b"} in container["env"]


def test_another_version_is_another_migration() -> None:
    jobs = [
        set(named(render("--set", option), "Job"))
        for option in ("image.tag=1.0.0", "image.tag=1.0.1", "operator.replicas=2,image.tag=1.0.0")
    ]
    assert [len(names) for names in jobs] == [1, 1, 1]
    assert jobs[0] != jobs[1]
    assert jobs[0] == jobs[2]


def test_two_builds_of_one_version_are_other_pods_and_another_migration() -> None:
    def templates(web: str) -> dict[str, Any]:
        documents = render("--set", f"image.tags.web=0.1.0-{web},image.tags.operator=0.1.0-c0ffee")
        return {
            f"{d['kind']}/{d['metadata']['name']}": d["spec"]["template"]
            for d in documents
            if d["kind"] in ("Deployment", "Job")
        }

    before, after = templates("aaaa"), templates("bbbb")
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    assert changed == {f"Deployment/{RELEASE}-{part}" for part in ("web", "live", "mirror")}
    assert {name for name in before.keys() ^ after.keys() if not name.startswith("Job/")} == set()
    assert len(before.keys() ^ after.keys()) == 2  # one migrations Job each


def test_one_prefix_serves_for_all_images() -> None:
    documents = render("--set", "image.registry=registry.example.com/team")
    images = {
        container["image"]
        for d in documents
        if d["kind"] in ("Deployment", "StatefulSet", "Job")
        for container in d["spec"]["template"]["spec"]["containers"]
    }
    assert len(images) == 4
    assert all(image.startswith("registry.example.com/team/") for image in images)


@pytest.mark.quick
def test_without_pools_the_operator_has_no_port_and_no_right_for_them() -> None:
    documents = render("--set", "web.enabled=false,pools.enabled=false")
    assert named(documents, "Service") == {} == named(documents, "Secret")
    (role,) = (r for r in named(documents, "ClusterRole").values() if r["rules"])
    assert "deployments" not in str(role)
    (container,) = named(documents, "Deployment")["tidegate-operator"]["spec"]["template"]["spec"]["containers"]
    assert not [e["name"] for e in container["env"] if "DISPATCH" in e["name"]]
    policy = named(documents, "NetworkPolicy")["tidegate-operator"]
    assert "dispatch" not in str(policy)


@pytest.mark.quick
def test_only_pods_of_pools_reach_the_dispatch_port() -> None:
    ingress = named(render(), "NetworkPolicy")["tidegate-operator"]["spec"]["ingress"]
    (rule,) = (r for r in ingress if r["ports"] == [{"port": "dispatch"}])
    anywhere = {"matchExpressions": [{"key": "tidegate.dev/pool", "operator": "Exists"}]}
    assert rule["from"] == [{"namespaceSelector": {}, "podSelector": anywhere}]


@pytest.mark.quick
def test_a_certificate_of_ones_own_is_read_and_never_written() -> None:
    documents = render("--set", "pools.existingSecret=mine")
    assert "tidegate-dispatch" not in named(documents, "Secret")
    (rule,) = named(documents, "Role")["tidegate-operator-dispatch"]["rules"]
    assert (rule["resourceNames"], rule["verbs"]) == (["mine"], ["get"])

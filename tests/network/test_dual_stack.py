"""A cluster whose nodes, pods and Services have addresses of both families: each address leads where it must, and no further.

What is tried by one address is tried by the other. All that is expected to be closed is found open in the end, without the policies.
"""

from collections.abc import Iterator, Set

import pytest
from network.conftest import (
    CLOSED,
    LISTENERS,
    METRICS,
    MONITORING,
    NEEDED,
    OPEN,
    OUTSIDE,
    PEOPLE,
    PUBLIC,
    STRANGERS,
    Site,
    address_of,
    family_of,
    installed,
    of_a_run,
    of_a_worker,
)
from support.builders import EXAMPLES, a_run
from support.kube import Kube
from support.reach import Target
from tidegate_demo.install import NAMESPACE, RELEASE

API = f"{RELEASE}-internal.{NAMESPACE}.svc"
SERVICES = frozenset({"web", "live", "internal", "dispatch", "postgres", "redis"})


@pytest.fixture(scope="module")
def dual() -> Iterator[Site]:
    """The installation where all has addresses of both families."""
    with installed("dual", "services.ipFamilyPolicy=RequireDualStack") as one:
        yield one


def twice(names: Set[str]) -> frozenset[str]:
    """The names that targets have by either family."""
    return frozenset(f"{name} by {family}" for name in names for family in ("ipv4", "ipv6"))


def of_services(names: Set[str]) -> frozenset[str]:
    return twice({f"service {name}" for name in names})


def services(site: Site) -> dict[str, Target]:
    """Every address of every Service of the release."""
    listed = Kube(site.kubectl.kubeconfig, namespace=NAMESPACE).listed("services")
    return {
        f"service {service['metadata']['name'].removeprefix(f'{RELEASE}-')} by {family_of(address)}": (
            address,
            service["spec"]["ports"][0]["port"],
        )
        for service in listed
        for address in service["spec"]["clusterIPs"]
    }


def everything(site: Site) -> dict[str, Target]:
    """Every address of a listener, of a Service, of the apiserver, a stranger, and the metadata of a cloud."""
    pods = {
        f"{name} by {family}": target for family in site.families for name, target in site.targets_by(family).items()
    }
    return pods | services(site)


def beyond(site: Site) -> dict[str, Target]:
    """A public address and the DNS server, by each family."""
    public = {f"a public address by {family}": (PUBLIC[family], 80) for family in site.families}
    return public | {f"names by {family}": (site.node(family), 53) for family in site.families}


def url(target: Target) -> str:
    host, port = target
    return f"http://[{host}]:{port}/" if family_of(host) == "ipv6" else f"http://{host}:{port}/"


def test_every_service_has_an_address_of_each_family(dual: Site) -> None:
    listed = Kube(dual.kubectl.kubeconfig, namespace=NAMESPACE).listed("services")
    assert {service["spec"]["ipFamilyPolicy"] for service in listed} == {"RequireDualStack"}
    assert services(dual).keys() == of_services(SERVICES)


def test_runs_and_pools_work_and_call_tidegate_by_either_address(dual: Site) -> None:
    targets = services(dual)
    for namespace in (CLOSED, OPEN):
        assert dual.runs(namespace).wait("letter", "Succeeded")["result"]["mood"] == "good"
        calls = {name: f"{url(targets[name])}internal/v1/runs/none" for name in of_services({"internal"})}
        statuses = of_a_run(dual, namespace).answers(calls)
        assert set(statuses.values()) <= {401, 404}, statuses


def test_helm_test_finds_every_part_up(dual: Site) -> None:
    assert "Succeeded" in dual.kubectl.helm("test", RELEASE, f"--namespace={NAMESPACE}", "--logs")


def test_a_stranger_reaches_what_people_reach_and_no_more_by_either_address(dual: Site) -> None:
    expected = twice(PEOPLE | OUTSIDE) | of_services(PEOPLE)
    for namespace in (STRANGERS, NAMESPACE):
        dual.within(namespace).expect(everything(dual), open_=expected)
    targets = services(dual)
    pages = {name: f"{url(targets[name])}login" for name in of_services({"web"})}
    assert set(dual.within(STRANGERS).answers(pages).values()) == {200}


def test_metrics_are_for_the_namespace_of_the_monitor_by_either_address(dual: Site) -> None:
    expected = twice(PEOPLE | METRICS | OUTSIDE) | of_services(PEOPLE)
    dual.within(MONITORING).expect(everything(dual), open_=expected)


def test_a_part_connects_to_what_it_needs_and_to_nothing_else_by_either_address(dual: Site) -> None:
    targets = everything(dual)
    for part, wanted in NEEDED.items():
        # A pod may connect to itself, whatever policies say.
        own = {name for name, (listening, _) in LISTENERS.items() if listening == part}
        others = targets.keys() - twice(own) - of_services(own & SERVICES)
        needed = twice(wanted) | of_services(wanted & SERVICES)
        dual.inside(part).expect({name: targets[name] for name in others}, open_=needed)


def test_stores_connect_to_nothing_by_either_address(dual: Site) -> None:
    targets = everything(dual)
    for part in ("postgres", "redis"):
        others = targets.keys() - twice({part}) - of_services({part})
        dual.inside(part, has_python=False).expect({name: targets[name] for name in others}, open_=frozenset())


def test_a_run_reaches_what_it_may_by_either_address(dual: Site) -> None:
    closed = of_a_run(dual, CLOSED)
    targets = {**everything(dual), **beyond(dual)}
    closed.expect(targets, open_=twice({"internal", "names"}) | of_services({"internal"}))
    assert closed.resolves(API)
    expected = twice(PEOPLE | OUTSIDE | {"internal", "names", "a public address"}) | of_services(PEOPLE | {"internal"})
    of_a_run(dual, OPEN).expect(targets, open_=expected)


def test_a_worker_reaches_the_dispatch_port_too_by_either_address(dual: Site) -> None:
    needed = {"internal", "dispatch"}
    of_a_worker(dual, CLOSED).expect(everything(dual), open_=twice(needed) | of_services(needed))
    expected = twice(PEOPLE | OUTSIDE | needed) | of_services(PEOPLE | needed)
    of_a_worker(dual, OPEN).expect(everything(dual), open_=expected)


def test_nobody_connects_to_a_run_by_either_address_where_that_is_asked_for(dual: Site) -> None:
    command = ["python", "-m", "http.server", "8000", "--bind", "::"]
    targets: dict[str, Target] = {}
    for namespace in (CLOSED, OPEN):
        runs = dual.runs(namespace)
        runs.start(a_run("serving").task(image=EXAMPLES, command=command))
        runs.wait("serving", "Running")
        (pod,) = runs.pods("serving")
        targets |= {f"{namespace} by {family}": (address_of(pod, family), 8000) for family in dual.families}
    dual.within(STRANGERS).expect(targets, open_=twice({OPEN}))


def test_tasks_may_be_let_out_to_the_internet_by_either_address_without_what_is_inside(dual: Site) -> None:
    dual.upgrade("networkPolicy.tasks.internet=true")
    expected = twice({"internal", "names", "a public address"}) | of_services({"internal"})
    of_a_run(dual, CLOSED).expect({**everything(dual), **beyond(dual)}, open_=expected)
    dual.upgrade("networkPolicy.tasks.internet=false")


def test_a_release_loses_its_second_addresses_and_gets_them_again(dual: Site) -> None:
    before = services(dual)
    dual.upgrade('services.ipFamilyPolicy="SingleStack"')
    first = services(dual)
    assert first.items() <= before.items()
    assert len(first) == len(SERVICES)
    dual.upgrade('services.ipFamilyPolicy="PreferDualStack"')
    assert services(dual).keys() == before.keys()


def test_without_the_policies_all_of_it_is_open_by_either_address(dual: Site) -> None:
    dual.upgrade("networkPolicy.enabled=false", "networkPolicy.tasks.namespaces=[]")
    targets = everything(dual)
    places = [dual.within(STRANGERS), of_a_run(dual, CLOSED), of_a_worker(dual, CLOSED)]
    stores = [dual.inside(part, has_python=False) for part in ("postgres", "redis")]
    for one in (*places, *(dual.inside(part) for part in NEEDED), *stores):
        one.expect(targets, open_=frozenset(targets))


def test_runs_and_pools_work_by_the_second_family_alone(dual: Site) -> None:
    # A Service keeps its first family as long as it lives.
    Kube(dual.kubectl.kubeconfig, namespace=NAMESPACE).delete_all("services")
    dual.upgrade(
        'services={"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}',
        f'networkPolicy.tasks.namespaces=["{CLOSED}"]',
        "networkPolicy.enabled=true",
    )
    assert {family_of(host) for host, _ in services(dual).values()} == {"ipv6"}
    for namespace in (CLOSED, OPEN):
        runs = dual.runs(namespace)
        # A worker that is connected stays so. A new one has the new address alone.
        runs.kube.delete_all("pods", "tidegate.dev/pool=moods", grace=0)
        runs.end(a_run("six").task_ref("mood").payload(text="Thank you!"), "Succeeded")
        assert of_a_run(dual, namespace).answers({"internal": f"http://{API}/internal/v1/runs/none"})["internal"] in (
            401,
            404,
        )

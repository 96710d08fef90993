"""Where runs may be."""

import pytest
from tidegate_operator.policies.placement import refuse_namespace


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "tidegate"])
def test_namespaces_of_kubernetes_and_of_the_release_have_no_runs(namespace: str) -> None:
    refusal = refuse_namespace(namespace, own="tidegate", listed=[])
    assert refusal is not None
    assert (refusal.reason, namespace in refusal.message) == ("InvalidTask", True)
    assert refuse_namespace(namespace, own="tidegate", listed=[namespace]) is None


@pytest.mark.parametrize(
    ("namespace", "own"), [("default", "tidegate"), ("team", "tidegate"), ("kubernetes", ""), ("x", "")]
)
def test_all_others_have(namespace: str, own: str) -> None:
    assert refuse_namespace(namespace, own=own, listed=[]) is None

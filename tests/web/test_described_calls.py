"""Every call as the API describes itself, by schemathesis: what is described is answered, what isn't is refused."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.generation import GenerationMode
from support.described import CALLERS, EXAMPLES, SELDOM_GOOD, World
from support.web import Stack
from tidegate_web.api_description import description

LABELS = [
    f"{method.upper()} {path}"
    for path, methods in description()["paths"].items()
    for method, operation in methods.items()
    if path.endswith("/wait") or operation["tags"] != ["live"]  # streams don't end: test_live.py reads them
]

WITHOUT_BAD = frozenset(
    {
        "GET /api/v1/health",
        "GET /api/v1/me",
        "GET /api/v1/openapi.json",
        "GET /api/v1/sessions",
        "DELETE /api/v1/sessions",
    }
)
"""Operations without anything that a call could get wrong."""


@pytest.fixture(scope="module")
def world(shared_stack: Stack) -> World:
    return World(shared_stack)


@pytest.mark.parametrize("label", LABELS)
def test_a_call_is_as_described(world: World, label: str) -> None:
    good = [world.check(case) for case in world.systematic(label)]
    assert any(good) or label in SELDOM_GOOD


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("label", LABELS)
def test_a_call_by_a_lower_role_is_answered_as_described(world: World, label: str, who: str) -> None:
    for case in itertools.islice(world.systematic(label), 3):
        world.check_as(case, who)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("label", LABELS)
def test_a_call_at_random_is_as_described(world: World, label: str, mode: GenerationMode) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=world.operation(label).as_strategy(generation_mode=mode))
    def check(case: Case[Any]) -> None:
        world.check(case)

    if label in WITHOUT_BAD and mode is GenerationMode.NEGATIVE:
        with pytest.raises(Unsatisfiable):
            check()
    else:
        check()

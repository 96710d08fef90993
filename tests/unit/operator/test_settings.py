"""Settings whose defaults are promised."""

import pytest
from tidegate_operator.settings import OperatorSettings


@pytest.mark.parametrize(("name", "default"), [("max_disruptions", 10), ("ttl_seconds_after_finished", 86_400)])
def test_defaults_that_others_rely_on(name: str, default: object) -> None:
    assert OperatorSettings.model_fields[name].default == default

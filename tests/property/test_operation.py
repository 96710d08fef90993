"""Many random orders of what people, the cluster, the network and crashes do to the real operator (`operation.py`).

`make test` takes the same ones each time, so that what fails fails again. `make explore` takes others each time, and as many as
it is asked for.
"""

import os
from typing import Final

import pytest
from hypothesis import settings

from property.operation import Operation

EXAMPLES: Final = os.environ.get("TIDEGATE_PROPERTY_EXAMPLES")
# Minutes, where other lanes have both cores.
pytestmark = pytest.mark.timeout(1800)

TestOperation = Operation.TestCase
TestOperation.settings = settings(
    max_examples=int(EXAMPLES or 400),
    stateful_step_count=60,
    deadline=None,
    derandomize=EXAMPLES is None,
    print_blob=True,
)

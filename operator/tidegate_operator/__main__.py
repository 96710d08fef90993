"""Start the operator: `python -m tidegate_operator`.

Exit code 0 after SIGTERM, 1 when the Lease was lost or a part broke (to be restarted: every step is crash-safe), 2 for
settings that can't be used.
"""

import sys

import uvloop
from pydantic import ValidationError

from tidegate_operator.kube.client import Cluster, KubeconfigError
from tidegate_operator.logs import configure_logs
from tidegate_operator.manager import Manager
from tidegate_operator.memory import look_less_often
from tidegate_operator.settings import OperatorSettings

DEEPEST_JSON = 15_000


def main() -> int:
    """Run the operator; returns the exit code."""
    # The apiserver takes free JSON, such as a payload, nested 10,000 deep; what a watch can't decode ends the watch.
    sys.setrecursionlimit(DEEPEST_JSON)
    look_less_often()
    try:
        settings = OperatorSettings()
        configure_logs(level=settings.log_level, log_format=settings.log_format)
        cluster = Cluster.load(settings.kubeconfig)
    except ValidationError as error:
        for problem in error.errors():
            sys.stderr.write(f"TIDEGATE_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}\n")
        return 2
    except KubeconfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2

    async def run() -> int:
        return await Manager(settings, cluster).run()

    return uvloop.run(run())


if __name__ == "__main__":
    sys.exit(main())

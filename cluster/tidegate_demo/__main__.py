"""The command line: `python3 -m tidegate_demo up | down`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

import tidegate_images.__main__ as images
from tidegate_cluster import clusters, settings
from tidegate_cluster.errors import ClusterError

from . import forward, install, warm, watch
from .kubectl import Kubectl

CLUSTER = "demo"
PROJECT = "demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what people can put right is one line of error."""
    parser = argparse.ArgumentParser(prog="tidegate_demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="cluster, images, chart, examples, dashboard")
    commands.add_parser("down", help="take it all away")
    keep = commands.add_parser("forward", help="keep the dashboard's port forwarded; started by `up`")
    keep.add_argument("--port", type=int, required=True)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    found = clusters.Clusters(settings=settings.from_environment())
    try:
        if given.command == "up":
            return _up(found)
        if given.command == "forward":
            forward.keep(Kubectl.of(found, CLUSTER), port=given.port)
            return 0
        forward.end(found.settings)
        found.down(CLUSTER)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make demo` goes on from here, `make demo-down` takes it away", file=sys.stderr)
        return 130
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _up(found: clusters.Clusters) -> int:
    begin = time.monotonic()
    kubectl = install.up(found, CLUSTER, project=PROJECT)
    install.step("examples")
    examples = images.checkout() / "examples/demo"
    # The worker starts while the examples run.
    kubectl("-n", PROJECT, "apply", "-f", examples / "warm/pool.yaml")
    missed = [*watch.run_examples(kubectl, examples=examples, project=PROJECT)]
    install.step("one task, cold and warm")
    missed += warm.compare(kubectl, examples=examples / "warm", project=PROJECT)
    port = forward.start(found.settings)
    _farewell(kubectl, found, port=port, seconds=time.monotonic() - begin)
    if missed:
        print("\nerror: " + "; ".join(missed), file=sys.stderr)
    return 1 if missed else 0


def _farewell(kubectl: Kubectl, found: clusters.Clusters, *, port: int, seconds: float) -> None:
    password = kubectl.secret(install.NAMESPACE, f"{install.RELEASE}-admin", key="password")
    print(f"""
Up after {seconds:.0f} s.

  dashboard   http://localhost:{port}
  sign in     {install.ADMIN}
  password    {password}

  kubectl     export KUBECONFIG={found.kubeconfig(CLUSTER)}
              kubectl -n {PROJECT} get tgr

  stop        make demo-down
""")


if __name__ == "__main__":
    sys.exit(main())

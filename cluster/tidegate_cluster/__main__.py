"""Kubernetes clusters for demos and tests: kind where Docker is, else made of name spaces on this host."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from . import clusters, programs, settings
from .addresses import FAMILIES
from .errors import ClusterError
from .records import Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what people can put right is one line of error."""
    given = _parser().parse_args(arguments)
    # Being asked to stop must clean up like a failure does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(given)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tidegate_cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="demo", help="the cluster (default: demo)")

    up = commands.add_parser("up", parents=[named], help="start a cluster unless it runs; prints its kubeconfig")
    up.add_argument("--provider", choices=["auto", "kind", "native"], default="auto")
    up.add_argument("--family", choices=[*FAMILIES], default="ipv4", help="of all its addresses; dual: both")
    up.add_argument("--network-policies", action="store_true", help="enforce NetworkPolicies")
    down = commands.add_parser("down", parents=[named], help="end a cluster and leave nothing of it")
    down.add_argument("--all", action="store_true", help="all clusters")
    commands.add_parser("list", help="names and states of all clusters")
    commands.add_parser("programs", help="build the programs if need be; prints their directory")
    commands.add_parser("kubeconfig", parents=[named], help="print the path of a cluster's kubeconfig")
    commands.add_parser("env", parents=[named], help="print shell exports of KUBECONFIG and PATH")
    load = commands.add_parser("load", parents=[named], help="import image archives into every node")
    load.add_argument("archives", nargs="+", type=Path, metavar="IMAGE.tar")

    node = commands.add_parser("node", help="add, fail and remove nodes").add_subparsers(dest="action", required=True)
    for action, text in (("add", "add a node"), ("rm", "throw a node away"), ("kill", "let a node fail")):
        one = node.add_parser(action, parents=[named], help=text)
        one.add_argument("node")
        if action == "kill":
            one.add_argument("--power", action="store_true", help="end its pods too, not only kubelet and containerd")
    return parser


def _run(given: argparse.Namespace) -> None:
    found = clusters.Clusters(settings=settings.from_environment())
    match given.command:
        case "up":
            options = Options(family=given.family, network_policies=given.network_policies)
            print(found.up(given.name, provider=given.provider, options=options))
        case "down":
            for name in found.names() if given.all else [given.name]:
                found.down(name)
        case "list":
            for name in found.names():
                print(name, found.state(name))
        case "programs":
            print(programs.require(settings=found.settings))
        case "kubeconfig":
            print(found.kubeconfig(given.name))
        case "env":
            for variable, value in found.environment(given.name).items():
                print(f"export {variable}={shlex.quote(value)}")
        case "load":
            found.load(given.name, given.archives)
        case "node" if given.action == "add":
            found.add_node(given.name, given.node)
        case "node" if given.action == "rm":
            found.remove_node(given.name, given.node)
        case "node":
            found.kill_node(given.name, given.node, power=given.power)


if __name__ == "__main__":
    sys.exit(main())

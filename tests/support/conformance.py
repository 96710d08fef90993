"""Kubernetes' own conformance data for the Pod Security Standards, from the Go module that the test programs are built with.

The module's checksum is in cluster/programs/go.sum; nothing of it is kept in this repository.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import yaml
from tidegate_cluster import commands, programs, settings, toolchain

Json = dict[str, Any]
MODULE = "k8s.io/pod-security-admission"


def pod_security_pods(level: str, verdict: str) -> dict[str, Json]:
    """The pods that pass or fail a level in the newest version of the standard, by file name."""
    sources = programs.source_directory()
    wanted = toolchain.wanted_version(go_mod=(sources / "go.mod").read_text())
    go = toolchain.find(wanted=wanted, cache=settings.from_environment().cache)
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    module = json.loads(commands.run(go, "mod", "download", "-json", MODULE, cwd=sources, env=environment))
    versions = (Path(module["Dir"]) / "test/testdata" / level).iterdir()
    newest = max(versions, key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.name)])
    return {file.name: yaml.safe_load(file.read_text()) for file in sorted((newest / verdict).glob("*.yaml"))}

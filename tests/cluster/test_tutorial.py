"""The tutorial, step by step as it stands there; the registry alone is another, and the image comes in without a push."""

import re
from pathlib import Path

from support.cluster import CLUSTER, ClusterRuns
from support.pages import code_blocks
from support.terminal import run_script, shell
from tidegate_cluster import host, settings
from tidegate_cluster.clusters import Clusters
from tidegate_demo.kubectl import Kubectl
from tidegate_images import builders
from tidegate_images.__main__ import build as build_images

TEAM = "registry.example.com/team"
ELSEWHERE = ("helm install", "pip install", "docker build")
"""Steps that the stage has done before: the chart, the tools. And the image, which is built below."""


def test_the_tutorial_ends_with_a_scheduled_task(runs: ClusterRuns, kubectl: Kubectl, tmp_path: Path) -> None:
    terminal = shell(kubectl, namespace=runs.namespace, folder=tmp_path)
    here = tmp_path / "greetings"
    here.mkdir()
    for language in ("python", "dockerfile", "yaml"):
        for block in code_blocks("tutorial.md", language):
            name = block.splitlines()[0].removeprefix("# ")
            (here / name).write_text(local(block))
    load_image(here)

    said = []
    steps = [step for step in code_blocks("tutorial.md", "sh") if not any(words in step for words in ELSEWHERE)]
    for step in steps:
        done = run_script(local(step), environment=terminal, folder=here)
        assert done.returncode == 0, f"{step}\n{done.stdout}"
        said.append(done.stdout)
    tried, applied, ran, refused, waited, scheduled, warm = said
    assert "2 passed" in tried
    assert '{"greeted":2}' in tried
    assert "greet created" in applied
    assert re.search(r"greet-\S+ Succeeded after", ran)
    assert "names" in refused
    assert '{"greeted":2}' in waited
    assert re.search(r"morning-\S+ Succeeded after", scheduled)
    assert re.search(r"greet-warm-\S+ Succeeded after", warm)
    # The Deployment counts a worker a moment after it is connected.
    assert re.search(r"^greetings +[01]/1 +4 ", warm, re.MULTILINE)


def local(text: str) -> str:
    """With images that are in the cluster."""
    return text.replace(f"{TEAM}/greetings:1", "docker.io/tidegate/greetings:1").replace(TEAM, "docker.io")


def load_image(folder: Path) -> None:
    """What `docker build` and `docker push` are for."""
    (folder / ".dockerignore").write_text("*\n!greetings.py\n")
    found = settings.from_environment()
    docker = host.docker_answers()
    base = build_images(only=["runner"], settings=found, docker=docker)["runner"]
    image = builders.Image(name="greetings", dockerfile="Dockerfile", base="runner", sources=("greetings.py",))
    archive = builders.build(image, version="1", context=folder, wheels=None, base=base, settings=found, docker=docker)
    Clusters(settings=found).load(CLUSTER, [archive])

"""The runner as the container of a run's pod, with the real web app."""

import subprocess
from pathlib import Path

from support.pods import Pod
from support.runner import Ended, RunnerPod


class Container:
    """The runner as the container of a run's pod: its token, its variables, a real way to the web app."""

    def __init__(self, folder: Path, pod: Pod, url: str, *, attempt: int = 1, tasks: str) -> None:
        self.pod = pod
        self._runner = RunnerPod(folder, tasks)
        token = folder / f"token-{attempt}"
        token.write_text(pod.token, encoding="ascii")
        self.env = {
            "TIDEGATE_API_URL": url,
            "TIDEGATE_TOKEN_FILE": str(token),
            "TIDEGATE_RUN": pod.run["metadata"]["name"],
            "TIDEGATE_RUN_UID": pod.uid,
            "TIDEGATE_NAMESPACE": pod.run["metadata"]["namespace"],
            "TIDEGATE_ATTEMPT": str(attempt),
            "TIDEGATE_TIMEOUT_SECONDS": "60",
            "TIDEGATE_RESULT_MAX_BYTES": "4096",
        }

    def start(self, entrypoint: str, payload: object = None) -> subprocess.Popen[str]:
        return self._runner.start(entrypoint, payload, **self.env)

    def ended(self, process: subprocess.Popen[str]) -> Ended:
        return self._runner.ended(process)

    def run(self, entrypoint: str, payload: object = None) -> Ended:
        return self._runner.run(entrypoint, payload, **self.env)

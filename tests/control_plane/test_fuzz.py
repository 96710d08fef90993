"""One odd object harms no other: whatever the apiserver takes, sound runs beside it go on, also after a restart.

Objects of every kind are made from the CRDs' own schemas, in bulk, by a seed that a failure shows. FUZZ_SECONDS: how long
(`make fuzz` takes half an hour; without it, one round of each kind); FUZZ_SEED: where to begin.
"""

import os
import time
from collections import Counter
from pathlib import Path

import pytest
from support.kube import Kube
from support.odd.objects import OddObjects, loosen, sound_run
from support.operator import OperatorProcess, Runs, wait_served
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
OBJECTS = 150
SOUND = 10
PATIENCE = 60.0

pytestmark = pytest.mark.timeout(SECONDS + 300)


def ten_sound_runs(kube: Kube, *, what: str) -> None:
    namespace = f"sound-{what}"
    runs = Runs(kube.create_namespace(namespace))
    names = [f"sound-{i}" for i in range(SOUND)]
    for name in names:
        runs.create(sound_run(name, namespace))

    def ended() -> bool:
        return {r["status"]["phase"] for r in runs.listed("taskruns.tidegate.dev")} == {"Succeeded"}

    wait_until(ended, seconds=PATIENCE, what=f"ten sound runs beside odd ones to succeed ({what})")


@pytest.mark.parametrize("loose", [False, True], ids=["as the CRDs take them", "as CRDs without bounds took them"])
def test_sound_runs_go_on_beside_odd_objects(plane: ControlPlane, kube: Kube, tmp_path: Path, loose: bool) -> None:
    log = tmp_path / "log"
    answers: Counter[tuple[str, int]] = Counter()
    end = time.monotonic() + SECONDS / 2
    seed = SEED + (1_000_000 if loose else 0)
    settings = {"sweep_seconds": "5", "look_seconds": "1", "identity": "operator"}
    try:
        while True:
            namespace = f"odd-{seed}"
            kube.create_namespace(namespace)
            odd = OddObjects(plane, seed=seed, namespace=namespace)
            if loose:
                loosen(kube, bounds=False)
            with OperatorProcess(plane, log=log, **settings) as operator:
                operator.wait_leading()
                odd.make(OBJECTS, loose=loose)
                if loose:
                    loosen(kube, bounds=True)
                    wait_served(plane)
                ten_sound_runs(kube, what=f"{seed}-at-once")
                odd.meddle()
                ten_sound_runs(kube, what=f"{seed}-meddled")
                operator.kill()
                operator.start().wait_leading()
                ten_sound_runs(kube, what=f"{seed}-restarted")
                assert operator.exit_code is None
                assert "a part broke" not in operator.log
            answers += odd.answers
            odd.remove()
            seed += 1
            if time.monotonic() > end:
                break
    except AssertionError as error:
        raise AssertionError(
            f"FUZZ_SEED={seed} (loose={loose}): {error}\n{log.read_text(encoding='utf-8')[-6000:]}"
        ) from error
    finally:
        loosen(kube, bounds=True)
    taken = sum(count for (what, code), count in answers.items() if what == "taskruns" and code == 201)
    assert taken > OBJECTS / 20, f"too few odd runs are taken: {answers}"

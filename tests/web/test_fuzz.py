"""One odd object harms no other in the archive: whatever the apiserver takes, sound runs beside it are stored and shown.

FUZZ_SECONDS and FUZZ_SEED as in tests/control_plane/test_fuzz.py.
"""

import os
import time
from typing import Any

import pytest
from support.callers import SignedIn
from support.odd.objects import OddObjects, loosen
from support.servers import wait_until
from support.web import Parts, Stack, finish, row
from tidegate_operator import json_codec

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
OBJECTS = 100
SOUND = 10
PATIENCE = 60.0

pytestmark = pytest.mark.timeout(SECONDS + 300)


def ten_sound_runs(stack: Stack, parts: Parts, *, what: str) -> None:
    names = [f"sound-{what}-{i}" for i in range(SOUND)]
    for name in names:
        stack.runs.create(name)
        finish(stack, name)

    def stored() -> bool:
        found = [row(parts, name) for name in names]
        return all(one is not None and one.phase == "Succeeded" for one in found)

    wait_until(stored, seconds=PATIENCE, what=f"ten sound runs beside odd ones to be archived ({what})")


def odd_runs_are_stored(stack: Stack, parts: Parts, *, me: SignedIn) -> None:
    """Each is there, and its page, its answer and the lists can be asked for."""

    def names() -> set[str]:
        # Listed each time: some of the round before may only just be going.
        return set(stack.runs.kube.names("taskruns.tidegate.dev"))

    def missing() -> set[str]:
        return names() - {one.name for one in parts.rows("SELECT name FROM runs WHERE deleted_at IS NULL")}

    try:
        wait_until(lambda: not missing(), seconds=PATIENCE, what="every odd run to have its row")
    except AssertionError as error:
        raise AssertionError(f"{error}: {sorted(missing())}") from None
    for name in sorted(n for n in names() if n.startswith("odd-")):
        for path in (f"runs/{name}", f"runs/{name}/attempts"):
            answer: Any = me.get(path)
            assert answer.status_code == 200, (name, path, answer.text[:500])
            json_codec.loads(answer.data)
        page = me.client.get(f"/projects/{stack.project}/runs/{name}")
        assert page.status_code == 200, (name, page.text[:500])
    for path in ("runs?limit=200", "runs?q=odd", "stats"):
        assert me.get(path).status_code == 200, path


@pytest.mark.parametrize("loose", [False, True], ids=["as the CRDs take them", "as CRDs without bounds took them"])
def test_the_archive_goes_on_beside_odd_objects(stack: Stack, parts: Parts, loose: bool) -> None:
    end = time.monotonic() + SECONDS / 2
    seed = SEED + (1_000_000 if loose else 0)
    me = parts.sign_in()
    try:
        while True:
            odd = OddObjects(stack.plane, seed=seed, namespace=stack.project)
            mirror = stack.mirror()
            if loose:
                loosen(stack.runs.kube, bounds=False)
            odd.make(OBJECTS, loose=loose)
            if loose:
                loosen(stack.runs.kube, bounds=True)
            ten_sound_runs(stack, parts, what=f"{seed}-at-once")
            odd_runs_are_stored(stack, parts, me=me)
            mirror.end()
            mirror = stack.mirror()
            ten_sound_runs(stack, parts, what=f"{seed}-restarted")
            mirror.end()
            odd.remove()
            seed += 1
            if time.monotonic() > end:
                break
    except AssertionError as error:
        raise AssertionError(f"FUZZ_SEED={seed} (loose={loose}): {error}") from error
    finally:
        loosen(stack.runs.kube, bounds=True)
    taken = sum(count for (what, code), count in odd.answers.items() if what == "taskruns" and code == 201)
    assert taken > OBJECTS / 20, f"too few odd runs are taken: {odd.answers}"

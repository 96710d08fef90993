"""What is kept of runs that have yet to start."""

from typing import cast

from support.builders import a_run
from tidegate_api.bodies import TaskRunBody
from tidegate_operator.state.run_bodies import RunBodies


def a_body(name: str) -> TaskRunBody:
    made = a_run(name).payload(size=1.0, text="\U0001f600", nothing=None).built
    made["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    return cast("TaskRunBody", made)


def without_managers(body: TaskRunBody) -> TaskRunBody:
    meta = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return cast("TaskRunBody", {**body, "metadata": meta})


def test_a_run_that_waits_has_the_body_that_it_had() -> None:
    bodies, body = RunBodies(), a_body("r")
    bodies.put("uid", body)
    assert bodies.find("uid") is body
    bodies.pack("uid")
    assert bodies.find("uid") == without_managers(body)


def test_bodies_beyond_the_budget_are_not_kept() -> None:
    one = RunBodies()
    one.put("a", a_body("a"))
    one.pack("a")
    bodies = RunBodies(bytes_max=2 * one.waiting_bytes)
    for uid in ("a", "b", "c"):
        bodies.put(uid, a_body(uid))
        bodies.pack(uid)
    assert [uid for uid in ("a", "b", "c") if bodies.find(uid) is not None] == ["a", "b"]
    bodies.drop("a")
    bodies.put("c", a_body("c"))
    bodies.pack("c")
    assert bodies.find("c") is not None


def test_what_is_dropped_takes_no_room() -> None:
    bodies = RunBodies()
    bodies.put("a", a_body("a"))
    bodies.pack("a")
    bodies.pack("a")
    bodies.put("a", a_body("a"))
    bodies.drop("a")
    bodies.drop("a")
    assert bodies.find("a") is None
    assert bodies.waiting_bytes == 0

"""The mirror and an etcd that was restored from a backup: the cluster's word counts, though its versions run backwards."""

from support.web import MirrorThread, Parts, Stack, until

WRITES = 20


def test_what_the_restored_cluster_has_is_what_is_kept(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("kept")
    stack.runs.status("kept", phase="Running")
    until(parts, "kept", lambda row: row.phase == "Running")
    stack.plane.back_up()
    stack.runs.create("lost")
    for number in range(WRITES):
        stack.runs.status("lost", phase="Running", message=f"write {number}")
    stack.runs.status("kept", phase="Succeeded")
    newest = until(parts, "kept", lambda row: row.phase == "Succeeded").resource_version
    until(parts, "lost", lambda row: row.message == f"write {WRITES - 1}")

    stack.plane.restore()

    until(parts, "kept", lambda row: row.phase == "Running" and row.deleted_at is None)
    gone = until(parts, "lost", lambda row: row.deleted_at is not None)
    assert (gone.phase, gone.reason) == ("Cancelled", "Deleted")
    stack.runs.status("kept", phase="Failed", reason="Error")
    failed = until(parts, "kept", lambda row: row.phase == "Failed")
    assert failed.resource_version < newest

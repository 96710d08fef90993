"""Which object controls another."""

import pytest
from tidegate_api.objects import ObjectMeta, OwnerReference
from tidegate_api.ownership import controller_of, controller_uid

JOB: OwnerReference = {"kind": "Job", "name": "j", "uid": "job", "controller": True}
RUN: OwnerReference = {"kind": "TaskRun", "name": "r", "uid": "run"}


def owned(*owners: OwnerReference) -> ObjectMeta:
    return {
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": list(owners),
    }


def test_the_controller_of_a_kind_is_found_among_the_owners() -> None:
    assert controller_of(owned(RUN, JOB), kind="Job") == JOB
    assert controller_uid(owned(RUN, JOB), kind="Job") == "job"


@pytest.mark.parametrize("owners", [(), (RUN,), ({**JOB, "controller": False},), ({**JOB, "kind": "ReplicaSet"},)])
def test_an_owner_that_does_not_control_or_is_of_another_kind_is_none(owners: tuple[OwnerReference, ...]) -> None:
    assert controller_of(owned(*owners), kind="Job") is None
    assert controller_uid(owned(*owners), kind="Job") is None

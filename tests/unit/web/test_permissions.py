"""Roles, and what each may do and send."""

import pytest
from tidegate_web.auth.caller import Caller
from tidegate_web.shared.permissions import Permission, Role, is_dns_label, permission_of, refused_fields, requires
from tidegate_web.store.queries.users import UserRow

ADMIN = Caller(name="a", user=UserRow(id=1, email="a@example.com", name="a", instance_admin=True))
SOMEBODY = Caller(name="b", user=UserRow(id=2, email="b@example.com", name="b", instance_admin=False))
KEY = Caller(name="api-key:tg_x", roles={"p": Role.OPERATOR})
KEY_OF_TASKS = Caller(name="api-key:tg_y", roles={"p": Role.ADMIN}, tasks=frozenset({"resize"}))


@pytest.mark.parametrize(
    ("permission", "caller", "expected"),
    [
        (Permission.PUBLIC, SOMEBODY, True),
        (Permission.SIGNED_IN, SOMEBODY, True),
        (Permission.SIGNED_IN, KEY, True),
        (Permission.PERSON, SOMEBODY, True),
        (Permission.PERSON, KEY, False),
        (Permission.VIEWER, SOMEBODY, False),
        (Permission.VIEWER, KEY, True),
        (Permission.OPERATOR, KEY, True),
        (Permission.DEVELOPER, KEY, False),
        (Permission.VIEWER, ADMIN, True),
        (Permission.ADMIN, ADMIN, True),
        (Permission.INSTANCE_ADMIN, SOMEBODY, False),
        (Permission.INSTANCE_ADMIN, KEY_OF_TASKS, False),
        (Permission.ADMIN, KEY_OF_TASKS, False),
        (Permission.DEVELOPER, KEY_OF_TASKS, False),
        (Permission.OPERATOR, KEY_OF_TASKS, True),
        (Permission.INSTANCE_ADMIN, ADMIN, True),
    ],
)
def test_who_may(permission: Permission, caller: Caller, expected: bool) -> None:
    assert caller.may(permission, {"project": "p"}) is expected


def test_a_role_is_of_a_project() -> None:
    assert not KEY.may(Permission.VIEWER, {})
    assert not KEY.may(Permission.VIEWER, {"project": "other"})


def test_a_key_of_some_tasks_acts_on_no_other() -> None:
    assert KEY_OF_TASKS.may_act_on("resize")
    assert not KEY_OF_TASKS.may_act_on("delete-all")
    assert not KEY_OF_TASKS.may_act_on(None)
    assert KEY.may_act_on(None)


@pytest.mark.parametrize("caller", [ADMIN, SOMEBODY, KEY, KEY_OF_TASKS])
def test_a_caller_is_remembered_whole(caller: Caller) -> None:
    assert Caller.from_json(caller.as_json()) == caller


def test_a_view_declares_what_it_asks_for() -> None:
    def view() -> str:
        return ""

    assert permission_of(view) is None
    assert permission_of(requires(Permission.ADMIN)(view)) is Permission.ADMIN
    assert permission_of(None) is None


BODY = {"taskRef": {"name": "resize"}, "payload": {}, "task": {}, "env": [], "resources": {}, "labels": {}}


def test_operators_may_send_no_image_and_no_environment() -> None:
    assert set(refused_fields(BODY, role=Role.OPERATOR, tasks=None)) == {"task", "env", "resources", "labels"}
    assert refused_fields(BODY, role=Role.DEVELOPER, tasks=None) == {}
    assert set(refused_fields(BODY, role=None, tasks=None)) == set(BODY)


def test_a_key_of_some_tasks_sends_what_an_operator_may_for_these_alone() -> None:
    tasks = frozenset({"resize"})
    assert set(refused_fields(BODY, role=Role.ADMIN, tasks=tasks)) == {"task", "env", "resources", "labels"}
    bodies: list[dict[str, object]] = [{"taskRef": {"name": "other"}}, {"payload": {}}, {"taskRef": "resize"}]
    for body in bodies:
        assert set(refused_fields(body, role=Role.ADMIN, tasks=tasks)) == {"taskRef"}


@pytest.mark.parametrize(
    ("name", "good"), [("a", True), ("a-1", True), ("a" * 63, True), ("a" * 64, False), ("", False), ("-a", False),
                       ("a-", False), ("A", False), ("a_b", False), ("a\n", False)]
)  # fmt: skip
def test_names(name: str, good: bool) -> None:
    assert is_dns_label(name) is good

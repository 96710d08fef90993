"""Roles, and what each may do and send."""

import pytest
from tidegate_web.permissions import Permission, Role, allowed, is_dns_label, may_send, permission_of, requires
from tidegate_web.store.queries.users import UserRow

ADMIN = UserRow(id=1, email="a@example.com", name="a", instance_admin=True)
NOBODY = UserRow(id=2, email="b@example.com", name="b", instance_admin=False)


@pytest.mark.parametrize(
    ("permission", "user", "expected"),
    [
        (Permission.PUBLIC, None, True),
        (Permission.RUN_TOKEN, None, True),
        (Permission.SIGNED_IN, None, False),
        (Permission.SIGNED_IN, NOBODY, True),
        (Permission.VIEWER, None, False),
        (Permission.VIEWER, NOBODY, False),
        (Permission.VIEWER, ADMIN, True),
        (Permission.ADMIN, ADMIN, True),
        (Permission.INSTANCE_ADMIN, NOBODY, False),
        (Permission.INSTANCE_ADMIN, ADMIN, True),
    ],
)
def test_who_may(permission: Permission, user: UserRow | None, expected: bool) -> None:
    assert allowed(permission, user, {"project": "p"}) is expected


def test_a_role_is_of_a_project() -> None:
    assert not allowed(Permission.VIEWER, ADMIN, {})


def test_a_view_declares_what_it_asks_for() -> None:
    def view() -> str:
        return ""

    assert permission_of(view) is None
    assert permission_of(requires(Permission.ADMIN)(view)) is Permission.ADMIN
    assert permission_of(None) is None


def test_operators_may_send_no_image_and_no_environment() -> None:
    fields = frozenset({"taskRef", "payload", "task", "env", "resources", "labels"})
    assert may_send(Role.OPERATOR, fields) == {"task", "env", "resources", "labels"}
    assert may_send(Role.DEVELOPER, fields) == frozenset()


@pytest.mark.parametrize(
    ("name", "good"), [("a", True), ("a-1", True), ("a" * 63, True), ("a" * 64, False), ("", False), ("-a", False),
                       ("a-", False), ("A", False), ("a_b", False), ("a\n", False)]
)  # fmt: skip
def test_names(name: str, good: bool) -> None:
    assert is_dns_label(name) is good

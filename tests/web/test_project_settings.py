"""A project's settings: for how long its history is kept, and how much of its room it has used."""

from typing import Any

import pytest
from support.callers import SignedIn
from support.web import Parts, Stack


def test_history_is_kept_as_the_installation_says_until_an_admin_says_otherwise(parts: Parts) -> None:
    me, viewer = parts.sign_in(), parts.member("viewer")

    def reported() -> tuple[int | None, int]:
        answer: Any = viewer.get("settings").json
        return answer["retentionDays"], answer["effectiveRetentionDays"]

    assert reported() == (None, 90)
    changed: Any = me.call("PUT", "settings", {"retentionDays": 400}).json
    assert changed["retentionDays"] == 400
    assert reported() == (400, 400)
    assert viewer.call("PUT", "settings", {"retentionDays": 1}).status_code == 403
    me.call("PUT", "settings", {"retentionDays": 0})
    assert reported() == (0, 0)
    me.call("PUT", "settings", {})
    assert reported() == (None, 90)
    entries = parts.rows("SELECT detail FROM audit WHERE action = 'project.settings' ORDER BY id")
    assert [entry.detail for entry in entries] == [{"retentionDays": days} for days in (400, 0, None)]


def test_usage_is_shown_beside_the_limit(stack: Stack, parts: Parts) -> None:
    assert parts.member("viewer").get("settings").json == {
        "retentionDays": None,
        "effectiveRetentionDays": 90,
        "archive": {"usedBytes": 0, "maxBytes": 20 * 2**30},
    }
    unbounded: Any = stack.parts("web", project_bytes=0).sign_in().get("settings").json
    assert unbounded["archive"] == {"usedBytes": 0, "maxBytes": None}


@pytest.mark.parametrize("days", [-1, 36_501, "90", 1.5, True])
def test_days_that_cannot_be(shared_me: SignedIn, days: object) -> None:
    assert shared_me.call("PUT", "settings", {"retentionDays": days}).status_code == 422


def test_settings_of_no_project(shared_me: SignedIn) -> None:
    assert shared_me.get("/api/v1/projects/no-such-project/settings").status_code == 404

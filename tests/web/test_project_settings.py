"""A project's settings: what its history is kept for."""

import pytest
from support.callers import SignedIn
from support.web import Parts


def test_history_is_kept_for_ever_until_an_admin_says_for_how_long(parts: Parts) -> None:
    me, viewer = parts.sign_in(), parts.member("viewer")
    assert viewer.get("settings").json == {"retentionDays": None}
    assert me.call("PUT", "settings", {"retentionDays": 90}).json == {"retentionDays": 90}
    assert viewer.get("settings").json == {"retentionDays": 90}
    assert viewer.call("PUT", "settings", {"retentionDays": 1}).status_code == 403
    assert me.call("PUT", "settings", {}).json == {"retentionDays": None}
    (entry, _) = parts.rows("SELECT detail FROM audit WHERE action = 'project.settings' ORDER BY id")
    assert entry.detail == {"retentionDays": 90}


@pytest.mark.parametrize("days", [0, -1, 36_501, "90", 1.5, True])
def test_days_that_cannot_be(shared_me: SignedIn, days: object) -> None:
    assert shared_me.call("PUT", "settings", {"retentionDays": days}).status_code == 422


def test_settings_of_no_project(shared_me: SignedIn) -> None:
    assert shared_me.get("/api/v1/projects/no-such-project/settings").status_code == 404

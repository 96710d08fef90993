"""What each project uses, for admins of the installation."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert
from support.browser import looks_right
from support.web import Parts, Stack
from tidegate_web.store.models import RunRollup
from tidegate_web.store.queries.rollups import HOUR, SIX_HOURS, floor


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


def counted(parts: Parts, project: str, *, step: timedelta, ago: timedelta, phase: str, runs: int) -> None:
    """As the mirror keeps it."""
    values = {
        "project": project,
        "step": round(step.total_seconds()),
        "at": floor(datetime.now(UTC) - ago, step),
        "phase": phase,
        "runs": runs,
        "took": {},
        "waited": {},
    }
    with parts.engine.begin() as connection:
        connection.execute(insert(RunRollup), [values])


def test_runs_of_30_days_active_runs_and_the_archive_are_shown_by_project(
    stack: Stack, parts: Parts, page: Page
) -> None:
    project = stack.project
    counted(parts, project, step=SIX_HOURS, ago=timedelta(days=10), phase="Succeeded", runs=1700)
    counted(parts, project, step=HOUR, ago=timedelta(days=10), phase="Succeeded", runs=1700)  # they are in the six
    counted(parts, project, step=HOUR, ago=timedelta(hours=1), phase="Failed", runs=300)
    counted(parts, project, step=SIX_HOURS, ago=timedelta(days=40), phase="Succeeded", runs=5000)
    stack.runs.create("waits")
    assert parts.sign_in().get("runs/waits").status_code == 200  # it is in the archive now
    page.goto("/")
    page.get_by_label("Account").click()
    page.get_by_role("link", name="Usage").click()
    row = page.get_by_role("row", name=project)
    expect(row).to_contain_text("2,000")
    expect(row).to_contain_text("300 (15 %)")
    expect(row.get_by_role("img", name="300 Failed, 1700 Succeeded")).to_be_visible()
    expect(row.get_by_role("link", name="1", exact=True)).to_be_visible()
    looks_right(page)
    row.get_by_role("link", name=project).click()
    expect(page).to_have_url(f"/projects/{project}/overview?range=30d")

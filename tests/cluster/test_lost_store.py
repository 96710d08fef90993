"""A Postgres without a volume whose pod is deleted: everything is ready again by itself, and archives again."""

import re

from playwright.sync_api import expect
from support.browser import chromium, signed_in
from support.builders import a_run
from support.cluster import PROJECT, SECONDS, ClusterRuns, forwarded
from support.kube import Kube
from support.servers import wait_until
from tidegate_cluster.errors import ClusterError
from tidegate_demo.install import ADMIN, NAMESPACE, RELEASE, wait_ready
from tidegate_demo.kubectl import Kubectl


def test_a_postgres_that_comes_back_empty_is_filled_again(kubectl: Kubectl, release: Kube, runs: ClusterRuns) -> None:
    selector = "app.kubernetes.io/component=postgres"
    (before,) = release.listed("pods", selector)
    release.delete("pods", before["metadata"]["name"], grace=0)

    def is_another() -> bool:
        pods = release.listed("pods", selector)
        return bool(pods) and pods[0]["metadata"]["uid"] != before["metadata"]["uid"]

    def has_its_admin() -> bool:
        count = """psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -tAc 'select count(*) from users'"""
        try:
            said = kubectl("-n", NAMESPACE, "exec", before["metadata"]["name"], "--", "sh", "-c", count)
        except ClusterError:
            return False
        return said.strip() == "1"

    wait_until(is_another, seconds=SECONDS, what="another pod of Postgres")
    wait_until(has_its_admin, seconds=SECONDS, what="the schema and the first admin")
    wait_ready(kubectl)  # within its own limit, for web, live and mirror alike
    runs.end(a_run("after-the-loss").shell("true"), "Succeeded")
    expect.set_options(timeout=SECONDS * 1000)
    password = kubectl.secret(NAMESPACE, f"{RELEASE}-admin", key="password")
    with (
        chromium() as browser,
        forwarded(kubectl, f"svc/{RELEASE}-web") as site,
        signed_in(browser, site, email=ADMIN, password=password, by_form=True) as page,
    ):
        expect(page).to_have_url(re.compile("/projects/[a-z]+/runs$"))
        page.goto(f"/projects/{PROJECT}/runs")
        expect(page.locator("tr", has_text="after-the-loss")).to_contain_text("Succeeded")

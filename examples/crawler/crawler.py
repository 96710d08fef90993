"""Crawls a site: a run a page, each page once, never faster than its queue allows and patient when the site asks for it."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

import bucket
from tidegate import AbortRun, Retry, RetryAfter, task


@task(queue="shop", timeout=60, retry=Retry(max_attempts=8))
def crawl(page: str, crawl_name: str) -> dict[str, Any]:
    """Keep a page, and crawl those that it links to.

    ``crawl_name`` is the whole's: another one crawls all of it again.
    """
    content = fetch(page)
    bucket.write(f"crawls/{crawl_name}/{page}.json", json.dumps(content).encode())
    links = content["links"]
    # The key makes it one run a page, whoever links to it and whenever.
    crawl.submit_many(
        [{"page": link, "crawl_name": crawl_name} for link in links],
        batch=crawl_name,
        idempotency_keys=[f"{crawl_name}/{link}" for link in links],
    )
    return {"title": content["title"], "links": len(links)}


def fetch(page: str) -> dict[str, Any]:
    """A page of the site."""
    address = os.environ.get("OUTSIDE_URL", "http://outside") + "/pages/" + page
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            content: dict[str, Any] = json.load(answer)
            return content
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 429:
            raise RetryAfter(int(error.headers.get("Retry-After", "60")), "the site asks for patience") from None
        if error.code == 404:
            raise AbortRun(f"there is no page {page}") from None
        raise

"""Copies a shop's orders into a warehouse, page by page. Whatever ends an attempt, the next goes on at the page it was at."""

from __future__ import annotations

import json
import os
import urllib.request

import psycopg
from tidegate import Retry, current_run, metadata, progress, task

SCHEMA = "CREATE TABLE IF NOT EXISTS orders (number bigint PRIMARY KEY, day date NOT NULL, cents bigint NOT NULL)"
INSERT = "INSERT INTO orders VALUES (%(number)s, %(day)s, %(cents)s) ON CONFLICT (number) DO NOTHING"


@task(timeout=1800, retry=Retry(max_attempts=5, initial_delay=1))
def copy_orders(pages: int = 30) -> dict[str, int]:
    """Copy the orders of a shop into the warehouse."""
    run = current_run()
    first = run.checkpoint or 1
    copied = 0
    with psycopg.connect(os.environ["WAREHOUSE_URL"], autocommit=True) as warehouse:
        warehouse.execute(SCHEMA)
        for page in range(first, pages + 1):
            progress((page - 1) / pages, f"page {page} of {pages}")
            orders = read(page)
            # Rows first, checkpoint after: an end between the two repeats one page, and its rows are there already.
            with warehouse.cursor() as cursor:
                cursor.executemany(INSERT, orders)
            run.checkpoint = page + 1
            copied += len(orders)
            metadata.increment("orders", len(orders))
    return {"started_at_page": first, "copied": copied}


def read(page: int) -> list[dict[str, object]]:
    """A page of the shop's orders."""
    address = f"{os.environ.get('OUTSIDE_URL', 'http://outside')}/orders?page={page}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        orders: list[dict[str, object]] = json.load(answer)
        return orders

"""A long history: whatever a list is narrowed to, Postgres reads indexes and a bounded number of pages."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from support.callers import SignedIn
from support.history import fill, large_relations, nodes, pages_read, plan, statements
from support.web import Parts, Stack
from tidegate_web.store.queries import payloads
from tidegate_web.store.queries.run_list import encode_cursor

RUNS = 60_000
OTHERS = 6_000
MOST_STATEMENTS_OF_A_RUN = 14
"""SELECTs that the page of a run may cost, its session and role included."""
MOST_PAGES = 7_500
"""That one statement may read: about a tenth of the history."""


@pytest.fixture(scope="module")
def history(shared_parts: Parts) -> Parts:
    now = datetime.now(UTC)
    fill(shared_parts.engine, project=shared_parts.project, runs=RUNS, now=now)
    fill(shared_parts.engine, project="another", runs=OTHERS, now=now)
    return shared_parts


@pytest.fixture(scope="module")
def me(history: Parts) -> SignedIn:
    return history.sign_in()


def example(parts: Parts, where: str) -> Any:
    """A run in the middle of the history."""
    statement = f"SELECT * FROM runs WHERE project = :project AND {where} ORDER BY created LIMIT 1"  # noqa: S608
    return parts.rows(statement, project=parts.project)[0]


def check(parts: Parts, me: SignedIn, path: str, *, most: int = MOST_PAGES) -> int:
    """Call it, and look how Postgres did what it was asked; the number of statements over the history."""
    with statements(parts.engine) as asked:
        answer = me.get(path)
    assert answer.status_code == 200, answer.text
    looked = 0
    with parts.engine.connect() as connection:
        large = large_relations(connection)
        for statement, parameters in asked:
            found = plan(connection, statement, parameters)
            scans = [node for node in nodes(found) if node.get("Relation Name") in large]
            looked += bool(scans)
            whole = [node["Relation Name"] for node in scans if "Seq Scan" in node["Node Type"]]
            assert whole == [], f"{path}: {statement}"
            assert pages_read(found) <= most, f"{path}: {pages_read(found)} pages by {statement}"
    return looked


FILTERS = [
    "",
    "phase=Pending,Starting,Running,Retrying",
    "phase=Pending,Starting,Retrying",
    "phase=Running",
    "phase=Succeeded",
    "phase=Failed,Expired,Skipped",
    "phase=Cancelled",
    "phase=Skipped",
    "task=task-0",
    "task=task-17",
    "task=none-such",
    "queue=queue-3",
    "queue=none-such",
    "task=task-17&queue=queue-3",
    "task=task-17&phase=Failed,Expired,Skipped",
    "task=none-such&phase=Failed,Expired,Skipped",
    "queue=queue-3&phase=Cancelled",
    "reason=Error",
    "reason=none-such",
    "reason=Error&phase=Failed,Expired",
    "reason=none-such&phase=Failed&task=task-17",
    "tag=nightly",
    "tag=customer-150",
    "tag=none-such",
    "batch=batch-150",
    "batch=none-such",
    "schedule=schedule-10",
    "schedule=none-such",
    "key=key-150",
    "key=none-such",
    "key=key-150&phase=Failed",
    "requestedBy=user-3",
    "requestedBy=none-such",
    "requestedBy=user-3&phase=Failed,Expired",
    "parent=parent-150",
    "parent=none-such",
    "q=task",
    "q=task-17",
    "q=none-such",
    "q=such+file",
    "q=customer-150",
    "q=zq",
    "q=-",
    "q=none-such&phase=Failed,Expired,Skipped",
    "q=such+file&task=task-17",
    "phase=Failed&tag=nightly",
]


@pytest.mark.parametrize("query", FILTERS)
def test_every_filter_of_the_list_reads_indexes(history: Parts, me: SignedIn, query: str) -> None:
    assert check(history, me, f"/projects/{history.project}/runs?{query}") >= 1
    assert check(history, me, f"runs?{query}") >= 1


@pytest.mark.parametrize(
    "query", ["", "task=task-17&", "phase=Failed,Expired,Skipped&", "q=such+file&", "tag=nightly&"]
)
def test_the_end_of_a_list_is_as_near_as_its_beginning(history: Parts, me: SignedIn, query: str) -> None:
    first: Any = me.get(f"runs?{query}limit=500").json
    middle = example(history, "created > now() - interval '180 days'")
    assert first["after"]
    cursor = encode_cursor(middle.created, str(middle.uid))
    check(history, me, f"runs?{query}after={cursor}")
    for way in ("after", "before", "top"):
        check(history, me, f"/projects/{history.project}/runs?{query}{way}={cursor}")


@pytest.mark.parametrize("query", ["", "phase=Failed,Expired,Skipped&", "q=zq&", "key=key-150&"])
def test_columns_of_the_spec_are_read_of_the_runs_on_the_page_alone(history: Parts, me: SignedIn, query: str) -> None:
    assert check(history, me, f"/projects/{history.project}/runs?{query}columns=phase,name,priority,key") >= 1


@pytest.mark.parametrize("page", ["tasks/task-17", "queues/queue-3", "schedules/schedule-10", "batches"])
def test_pages_of_definitions_and_batches_read_indexes(history: Parts, me: SignedIn, page: str) -> None:
    assert check(history, me, f"/projects/{history.project}/{page}") >= 1


def test_the_page_of_a_pool_reads_an_index(history: Parts, me: SignedIn, shared_stack: Stack) -> None:
    shared_stack.runs.pool("warm", image="runner")
    assert check(history, me, f"/projects/{history.project}/pools/warm") >= 1


def test_the_graph_around_a_run_reads_indexes(history: Parts, me: SignedIn) -> None:
    run = example(history, "created > now() - interval '180 days' AND parent_run IS NOT NULL")
    assert check(history, me, f"/projects/{history.project}/runs/{run.uid}/graph") >= 1


def test_payloads_to_start_from_are_one_look_at_an_index(history: Parts) -> None:
    with statements(history.engine) as asked, history.engine.connect() as connection:
        found = payloads.latest(connection, project=history.project, task="task-17", most_characters=1000)
        assert len(found) == payloads.LOOKED_AT
        (statement, parameters), *more = asked
        assert more == []
        assert pages_read(plan(connection, statement, parameters)) <= MOST_PAGES


def test_a_list_of_a_time_looks_into_its_months_alone(history: Parts, me: SignedIn) -> None:
    middle = example(history, "created > now() - interval '180 days'").created
    path = f"runs?from={middle:%Y-%m-%d}T00:00:00Z&to={middle:%Y-%m-%d}T23:59:59Z"
    with statements(history.engine) as asked:
        assert me.get(path).status_code == 200
    with history.engine.connect() as connection:
        touched = {
            node["Relation Name"]
            for statement, parameters in asked
            for node in nodes(plan(connection, statement, parameters))
            if str(node.get("Relation Name")).startswith("runs_")
        }
    assert touched == {f"runs_{middle:%Y_%m}"}


@pytest.mark.parametrize("by", ["uid", "name"])
def test_the_page_of_a_run_reads_one_month(history: Parts, me: SignedIn, by: str) -> None:
    run = example(history, "created > now() - interval '180 days' AND resource_version % 10 = 0")
    reference = getattr(run, by)
    for path in (f"/projects/{history.project}/runs/{reference}", f"runs/{reference}", f"runs/{reference}/logs"):
        with statements(history.engine) as asked:
            assert me.get(path).status_code == 200
        with history.engine.connect() as connection:
            plans = [plan(connection, statement, parameters) for statement, parameters in asked]
            large = large_relations(connection)
        found = [node for each in plans for node in nodes(each) if "Relation Name" in node]
        assert not [node for node in found if node["Relation Name"] in large and "Seq Scan" in node["Node Type"]]
        read = [node for node in found if node["Actual Loops"]]  # previous runs of its task may be in the month before
        months = {name[-7:] for node in read if (name := node["Relation Name"]).startswith(("runs_", "log_chunks_"))}
        before = run.created.replace(day=1) - timedelta(days=1)
        assert f"{run.created:%Y_%m}" in months <= {f"{run.created:%Y_%m}", f"{before:%Y_%m}"}
        assert sum(map(pages_read, plans)) < 300


def test_previous_runs_of_a_task_are_one_look_at_an_index(history: Parts, me: SignedIn) -> None:
    run = example(history, "created > now() - interval '180 days' AND task = 'task-17'")
    lone = example(history, "created = (SELECT min(created) FROM runs WHERE task = 'task-17')")
    for uid, most in ((run.uid, 20), (lone.uid, 0)):
        with statements(history.engine) as asked:
            answer = me.get(f"/projects/{history.project}/runs/{uid}")
        assert answer.text.count('id="previous-') == most
        looks = [(text, values) for text, values in asked if "task-17" in map(str, _values(values))]
        assert len(looks) == 1
        with history.engine.connect() as connection:
            found = plan(connection, *looks[0])
        assert not [
            node
            for node in nodes(found)
            if "Seq Scan" in node["Node Type"] and "runs" in str(node.get("Relation Name"))
        ]
        assert pages_read(found) < 200
    assert len(asked) <= MOST_STATEMENTS_OF_A_RUN


def _values(parameters: Any) -> Iterator[Any]:
    yield from parameters.values() if isinstance(parameters, dict) else parameters


def test_text_is_found_wherever_it_stands(history: Parts, me: SignedIn) -> None:
    old = example(history, "phase = 'Failed' AND resource_version % 1000 = 96")
    for words in (old.name, old.message[-20:], old.name.upper()):
        found: Any = me.get("runs", query_string={"q": words}).json
        assert [run["uid"] for run in found["items"]] == [str(old.uid)]
    assert me.get("runs", query_string={"q": "100%"}).json == {"items": [], "after": None}


def test_parts_of_a_list_come_in_one_order_without_a_gap(history: Parts, me: SignedIn) -> None:
    """Several phases and texts are asked for part by part; page by page it must be what one look would give."""
    queries = {
        "phase=Expired,Skipped": "phase IN ('Expired', 'Skipped')",
        "tag=customer-9": "tags @> ARRAY['customer-9']",
        "q=customer-9": "tags @> ARRAY['customer-9']",
        "phase=Failed,Cancelled&tag=nightly&from=2000-01-01T00:00:00Z&task=task-0": (
            "phase IN ('Failed', 'Cancelled') AND tags @> ARRAY['nightly'] AND task = 'task-0'"
        ),
    }
    for query, where in queries.items():
        statement = f"SELECT uid FROM runs WHERE project = :project AND {where} ORDER BY created DESC, uid DESC"  # noqa: S608
        wanted = [str(row.uid) for row in history.rows(statement, project=history.project)][:900]
        seen: list[str] = []
        after = ""
        while len(seen) < len(wanted):
            page: Any = me.get(f"runs?{query}&limit=300{after}").json
            seen += [run["uid"] for run in page["items"]]
            if page["after"] is None:
                break
            after = f"&after={page['after']}"
        assert seen[:900] == wanted, query


def test_a_history_of_another_project_is_not_ours(history: Parts, me: SignedIn) -> None:
    other = history.rows("SELECT uid FROM runs WHERE project = 'another' LIMIT 1")[0]
    assert me.get(f"runs/{other.uid}").status_code == 404


def test_all_tables_of_a_month_have_the_indexes_of_the_whole(history: Parts) -> None:
    with history.engine.connect() as connection:
        numbers = connection.execute(
            text(
                "SELECT i.inhparent::regclass::text AS parent, count(*) FILTER (WHERE x.indexrelid IS NOT NULL) AS indexes"
                " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r'"
                " LEFT JOIN pg_index x ON x.indrelid = c.oid AND x.indisvalid GROUP BY i.inhrelid, 1"
            )
        ).all()
    assert len({tuple(row) for row in numbers}) == 2

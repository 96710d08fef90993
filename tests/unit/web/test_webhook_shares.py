"""Which deliveries are sent at once."""

from tidegate_web.webhooks.shares import AT_ONCE, PER_PROJECT, PER_WEBHOOK, Due, choose


def due(*, webhook: int, project: str, first: int, count: int) -> list[Due]:
    return [Due(id=first + number, webhook_id=webhook, project=project) for number in range(count)]


def test_a_webhook_gets_its_share_and_no_more() -> None:
    chosen = choose(due(webhook=1, project="a", first=0, count=50), webhooks={}, projects={})
    assert [each.id for each in chosen] == list(range(PER_WEBHOOK))


def test_a_project_with_many_webhooks_gets_its_share_and_no_more() -> None:
    many = [each for hook in range(20) for each in due(webhook=hook, project="a", first=hook * 10, count=5)]
    other = due(webhook=99, project="b", first=1000, count=1)
    chosen = choose(many + other, webhooks={}, projects={})
    assert sum(each.project == "a" for each in chosen) == PER_PROJECT
    assert chosen[-1] == other[0]


def test_what_is_being_sent_counts() -> None:
    waiting = due(webhook=1, project="a", first=0, count=5) + due(webhook=2, project="a", first=10, count=5)
    chosen = choose(
        waiting, webhooks={1: PER_WEBHOOK, 7: PER_PROJECT - PER_WEBHOOK - 1}, projects={"a": PER_PROJECT - 1}
    )
    assert [each.id for each in chosen] == [10]


def test_all_together_are_bounded() -> None:
    many = [each for hook in range(50) for each in due(webhook=hook, project=f"p{hook}", first=hook * 10, count=3)]
    assert len(choose(many, webhooks={}, projects={})) == AT_ONCE
    assert choose(many, webhooks=dict.fromkeys(range(100, 104), 4), projects={}) == []

"""What differs between two JSON values, line by line."""

from tidegate_web.pages.text_diff import CONTEXT, MOST_LINES, DiffLine, diff


def shown(old: object, new: object) -> list[str]:
    lines = diff(old, new)
    assert lines is not None
    return [line.sign + line.text for line in lines]


def test_equal_values_do_not_differ_whatever_the_order_of_their_keys() -> None:
    assert diff({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}) == []


def test_lines_say_which_value_has_them() -> None:
    assert shown({"image": "a:1", "queue": "q"}, {"image": "a:2", "queue": "q"}) == [
        "@…",
        " {",
        '-  "image": "a:1",',
        '+  "image": "a:2",',
        '   "queue": "q"',
        " }",
    ]


def test_what_begins_like_a_mark_of_a_diff_is_a_line_like_others() -> None:
    assert DiffLine("+", '    "@@ -1 +1 @@"') in (diff({"args": ["++"]}, {"args": ["++", "@@ -1 +1 @@"]}) or [])


def test_lines_far_from_a_difference_are_left_out() -> None:
    many = list(range(100))
    found = shown(many, [*many[:50], "x", *many[50:]])
    assert found[0] == "@…"
    assert len(found) == 1 + 2 * CONTEXT + 1


def test_what_is_too_long_is_not_compared() -> None:
    assert diff([0] * MOST_LINES, []) is None
    assert diff([], [0] * MOST_LINES) is None

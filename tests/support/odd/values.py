"""Odd values of a schema: its edges, every spelling of a time, every plane of Unicode, and JSON of any shape.

What comes out need not be valid: the apiserver is the judge, and what it refuses is left out.
"""

import json
import re
from random import Random
from typing import Any, Final

Json = dict[str, Any]
DEEP: Final = "@@deep:{}@@"
"""Stands for nesting of so many levels: no Python writer of JSON goes so deep, so it is put into the text."""

TIMES: Final = (
    "2026-11-26T12:00:00z",
    "2026-11-26t12:00:00Z",
    "2026-11-26T12:00:00.123456789123456789z",
    "2026-11-26T12:00:00,5Z",
    "2026-11-26T12:00:00+23:59",
    "2026-11-26T12:00:00-99:99",
    "2026-11-26T12:00:00Ztt",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00+14:00",
    "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "0000-01-01T00:00:00z",
    "9998-12-31T23:59:59.999-23:59",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "2024-02-29T23:59:59Z",
)
INTEGERS: Final = (
    -(2**63),
    -(2**31),
    -1,
    0,
    1,
    2,
    64,
    255,
    2**31 - 1,
    2**31,
    300_000_000_000,
    1767225600000,
    2**63 - 1,
)
NUMBERS: Final = (0, -1, 1.5, 1e308, -1e308, 5e-324, 1e-400, 2**53 + 1, 2**63, 18446744073709551615, 0.1, 1e22)
TEXTS: Final = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "\u202e\u2066",
    "\ufeff\ufffe\uffff",
    "ü漢🙂",
    "\U0010ffff\U000e0001\U0002a6d6\U0001f9d1\u200d\U0001f4bb",
    "e\u0301" * 50,
    "\r\n\t\x0b\x0c\x85\u2028",
    "null",
    "NaN",
    "1e999",
    "{{ .x }}${Y}$(Z)$$(Z)%s%n",
    "'; drop table runs; --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "x" * 1024,
    "ü" * 32_768,
    "y" * 131_072,
)
KEYS: Final = ("", " ", "a", "A.b/c", "\x00", "ü", "__proto__", "$ref", "tidegate.dev/input", "k" * 2048)
LABELS: Final = (
    ("app.kubernetes.io/managed-by", "tidegate"),
    ("app.kubernetes.io/managed-by", "Helm"),
    ("tidegate.dev/run", "another"),
    ("tidegate.dev/run-uid", "00000000-0000-0000-0000-000000000000"),
    ("tidegate.dev/attempt", "999999999999999999999"),
    ("tidegate.dev/schedule", "nobody"),
    ("tidegate.dev/queue", ""),
    ("batch.kubernetes.io/controller-uid", "x"),
    ("job-name", "x"),
    ("a" * 63, "b" * 63),
    ("example.com/" + "c" * 63, ""),
    ("X.Y_z", "A.b_c"),
)


class Odd:
    """A generator of odd values; equal seeds, equal values."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - repeatable, not secret

    def chance(self, part: float) -> bool:
        """Whether something happens that happens in so many of all cases."""
        return self.random.random() < part

    def time(self) -> str:
        """A time, in some spelling."""
        return self.random.choice(TIMES)

    def text(self, *, longest: int | None = None, shortest: int = 0) -> str:
        """Any text, mostly within its bounds."""
        made = self.random.choice(TEXTS)
        if longest is not None and len(made) > longest:
            made = made[:longest]
        return made if len(made) >= shortest else made + "x" * (shortest - len(made))

    def free(self, depth: int = 4) -> Any:
        """JSON of any shape."""
        pick = self.random.randrange(9 if depth else 6)
        match pick:
            case 0:
                return self.text()
            case 1:
                return self.random.choice(NUMBERS)
            case 2:
                return self.random.choice(INTEGERS)
            case 3:
                return self.random.choice((None, True, False))
            case 4:
                return self.time()
            case 5:
                return DEEP.format(self.random.choice((60, 300, 499, 520, 1200, 5000))) if self.chance(0.3) else ""
            case 6:
                return [self.free(depth - 1) for _ in range(self.random.randrange(4))]
        return self.free_object(depth)

    def free_object(self, depth: int = 4) -> Json:
        """A JSON object of any shape."""
        return {self.random.choice(KEYS): self.free(depth - 1) for _ in range(self.random.randrange(4))}

    def of(self, schema: Json, *, full: float = 0.4) -> Any:
        """A value of a structural schema. `full`: the share of optional fields that are there."""
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if schema.get("x-kubernetes-int-or-string"):
            return self.random.choice((0, 1, 2**31 - 1, "1", "100m", "1Gi", "0.5", "1e3"))
        match schema.get("type"):
            case "object":
                return self._object(schema, full=full)
            case "array":
                return self._array(schema, full=full)
            case "integer":
                return self._integer(schema)
            case "boolean":
                return self.random.choice((True, False))
            case "string":
                return self._string(schema)
        return self.free()

    def labels(self) -> dict[str, str]:
        """Labels that others use, ours among them."""
        return dict(self.random.sample(LABELS, self.random.randrange(4)))

    def annotations(self) -> dict[str, str]:
        """Annotations with any value."""
        names = ("tidegate.dev/payload", "tidegate.dev/task-spec", "tidegate.dev/requested-by", "x", "example.com/y")
        return {name: self.text(longest=60_000) for name in self.random.sample(names, self.random.randrange(3))}

    def _object(self, schema: Json, *, full: float) -> Json:
        fields, required = schema.get("properties") or {}, set(schema.get("required") or ())
        made = {
            name: self.of(field, full=full) for name, field in fields.items() if name in required or self.chance(full)
        }
        if (values := schema.get("additionalProperties")) and isinstance(values, dict):
            made |= {f"k{i}": self.of(values, full=full) for i in range(self.random.randrange(3))}
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            made |= self.free_object()
        if self.chance(0.03):
            made["unknownField"] = self.free()
        return made

    def _array(self, schema: Json, *, full: float) -> list[Any]:
        made: list[Any] = []
        keys = schema.get("x-kubernetes-list-map-keys")
        for _ in range(self.random.randrange(min(4, schema.get("maxItems", 4)) + 1)):
            item = self.of(schema["items"], full=full)
            if keys and any(all(item.get(k) == other.get(k) for k in keys) for other in made):
                continue
            if schema.get("x-kubernetes-list-type") == "set" and item in made:
                continue
            made.append(item)
        return made

    def _integer(self, schema: Json) -> int:
        low, high = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
        fitting = [value for value in INTEGERS if low <= value <= high]
        value: int = self.random.choice([low, high, *fitting])
        return value

    def _string(self, schema: Json) -> str:
        if schema.get("format") == "date-time":
            return self.time()
        pattern = schema.get("pattern")
        made = self.text(longest=schema.get("maxLength"), shortest=schema.get("minLength", 0))
        if pattern is None or re.search(pattern, made):
            return made
        fitting = ("a", "x" * 63, "default", "some-name", "m:f", "shop.tasks:resize", "0", "ab" * 32)
        return self.random.choice([text for text in fitting if re.search(pattern, text)] or ["a"])


def encode(body: Any) -> bytes:
    """As JSON, with the nesting that stands for itself."""
    text = json.dumps(body, ensure_ascii=False)
    for found in set(re.findall(r'"@@deep:(\d+)@@"', text)):
        levels = int(found)
        text = text.replace(f'"@@deep:{found}@@"', '{"d":' * levels + '"x\\u0000y"' + "}" * levels)
    return text.encode("utf-8", "surrogatepass")


def without_bounds(schema: Any) -> Any:
    """A schema as it was before it had bounds: what was stored then is still there."""
    if isinstance(schema, list):
        return [without_bounds(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: without_bounds(value) for key, value in schema.items() if key != "maximum"}
    if made.get("format") == "date-time":
        made.pop("pattern", None)
    return made

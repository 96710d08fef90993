"""quantity: amounts of memory as Kubernetes writes them."""

import pytest
from tidegate_api.quantity import bytes_of


@pytest.mark.parametrize(
    ("quantity", "size"),
    [
        (1024, 1024),
        ("1024", 1024),
        ("1Ki", 1024),
        ("1.5Mi", 1_572_864),
        ("2Gi", 2 << 30),
        ("1k", 1000),
        ("100M", 100_000_000),
        ("1e3", 1000),
        ("1E", 10**18),
        ("1500m", 2),
        (".5Ki", 512),
        ("", None),
        ("-1", None),
        (-1, None),
        ("1 Gi", None),
        ("1Zi", None),
        ("9" * 65, None),
        ("NaN", None),
    ],
)
def test_a_quantity_is_so_many_bytes(quantity: int | str, size: int | None) -> None:
    assert bytes_of(quantity) == size

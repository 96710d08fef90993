"""Where the apiserver serves objects of Tidegate's own kinds."""

from typing import Final

from tidegate_api.names import GROUP, VERSION

OWN_GROUP: Final = f"/apis/{GROUP}/{VERSION}"


def own_path(plural: str, namespace: str, name: str | None = None) -> str:
    """The path of a list of a namespace, or of one object in it."""
    items = f"{OWN_GROUP}/namespaces/{namespace}/{plural}"
    return items if name is None else f"{items}/{name}"

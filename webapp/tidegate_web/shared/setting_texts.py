"""Settings that are lists in one text: what is wrong is named."""


def dns_labels(names: list[str]) -> list[str]:
    """Names of namespaces; ValueError that says which is none."""
    for name in names:
        if not name or len(name) > 63 or not name.replace("-", "").isalnum() or name != name.lower():
            raise ValueError(f"{name!r} is no namespace name")
    return names


def parse_rights(text: str) -> dict[str, str]:
    """``account=role, account=role``; ValueError that says which part is wrong."""
    rights: dict[str, str] = {}
    for part in (each.strip() for each in text.split(",") if each.strip()):
        account, equals, role = part.partition("=")
        if not (account and equals and role):
            raise ValueError(f"{part!r} is not 'service-account=ClusterRole'")
        rights[account] = role
    return rights

"""Which object controls another. Labels only select; ownership is what counts, since the apiserver lets no label prove it."""

from tidegate_api.objects import ObjectMeta, OwnerReference


def controller_of(meta: ObjectMeta, *, kind: str) -> OwnerReference | None:
    """The controller of an object where it is of `kind`. An object has one controller at most."""
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == kind:
            return owner
    return None


def controller_uid(meta: ObjectMeta, *, kind: str) -> str | None:
    """uid of the controller of an object where it is of `kind`."""
    owner = controller_of(meta, kind=kind)
    return owner["uid"] if owner is not None else None

"""From groups to roles, and from a provider's claims to a person."""

from typing import Any

import pytest
from tidegate_web.auth.groups import Grants, GroupRoles
from tidegate_web.auth.providers import Person, SignInRefusedError, person_of
from tidegate_web.shared.permissions import Role


def test_of_several_groups_the_highest_role_counts() -> None:
    mapping = GroupRoles.parse("data=reports:viewer, leads=reports:admin,data=crawl:operator, root=instance-admin")
    assert mapping.grants(["data"]) == Grants(roles={"reports": Role.VIEWER, "crawl": Role.OPERATOR})
    assert mapping.grants(["leads", "data"]).roles["reports"] is Role.ADMIN
    assert mapping.grants(["root"]) == Grants(instance_admin=True)
    assert mapping.grants(["others"]) == Grants()
    assert not GroupRoles.parse("")


def test_a_groups_name_may_have_signs_of_ours() -> None:
    assert GroupRoles.parse("/org/team=a:b=reports:viewer").grants(["/org/team=a:b"]).roles == {"reports": Role.VIEWER}


@pytest.mark.parametrize(
    "text", ["data", "data=", "=reports:viewer", "data=reports", "data=reports:king", "data=UP:viewer"]
)
def test_a_mapping_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        GroupRoles.parse(text)


CLAIMS: dict[str, Any] = {"sub": "17", "email": "Ada@Example.com", "email_verified": True, "name": "Ada"}


def test_claims_make_a_person() -> None:
    assert person_of(CLAIMS, groups_claim="groups") == Person(subject="17", email="ada@example.com", name="Ada")
    with_groups = CLAIMS | {"groups": ["a", {"odd": 1}, "b"], "teams": "c"}
    assert person_of(with_groups, groups_claim="groups").groups == ("a", "b")
    assert person_of(with_groups, groups_claim="teams").groups == ("c",)


@pytest.mark.parametrize(
    "change",
    [{"email_verified": False}, {"email_verified": "true"}, {"email_verified": None}, {"email": ""}, {"email": "x"}],
)
def test_an_address_that_is_not_verified_stands_for_no_user(change: dict[str, Any]) -> None:
    with pytest.raises(SignInRefusedError, match="vouch"):
        person_of(CLAIMS | change, groups_claim="groups")

"""Followers: what may follow what."""

import uuid

import pytest

from dynoform.domain import data_services, followers
from dynoform.errors import InvalidInputError

ID = uuid.UUID("0a1b2c3d-0000-4000-8000-000000000001")


@pytest.mark.parametrize("leader", ["standard-0", "premium-0"])
def test_standard_databases_follow_standard_and_premium_ones(leader: str) -> None:
    followers.check({"follow": "X"}, "standard-0", leader)


@pytest.mark.parametrize(
    ("options", "plan", "leader", "message"),
    [
        (
            {"follow": "X", "by": "1 day"},
            "standard-0",
            "standard-0",
            "A follower is what its leader is: leave out --by",
        ),
        (
            {"follow": "X"},
            "standard-0",
            "essential-2",
            "Essential databases have no followers: make a copy with --fork",
        ),
        ({"follow": "X"}, "premium-0", "premium-0", "A follower is a single server that is as large as its leader: "),
    ],
)
def test_others_do_not(options: dict[str, str], plan: str, leader: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{message}"):
        followers.check(options, plan, leader)


def test_the_leader_is_what_the_provider_is_told() -> None:
    assert followers.leader({"leader": str(ID)}) == ID
    assert followers.leader({"source": str(ID)}) is None


def test_plans_but_essential_ones_can_be_followed_and_how_far_behind_is_in_bytes() -> None:
    assert [each.name for each in data_services.PLANS["heroku-postgresql"] if followers.available(each)] == [
        "standard-0", "premium-0",
    ]  # fmt: skip
    assert [followers.behind(count) for count in (0, -8, 2048)] == ["0 bytes", "0 bytes", "2.0 kB"]
    assert followers.behind(None) == "Not known: its leader or itself does not answer"

"""A database with a standby, as ``pg:info`` shows it, by what Patroni says."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dynoform.domain import standby
from dynoform.domain.data_hosts import DataHost
from dynoform.errors import UnavailableError

LEADER = {"name": "member-1", "role": "leader", "state": "running", "host": "172.29.0.1", "timeline": 1}
READY = {
    "name": "member-2",
    "role": "sync_standby",
    "state": "streaming",
    "host": "172.29.0.1",
    "timeline": 1,
    "lag": 0,
}


def said(*members: dict[str, Any]) -> str:
    return json.dumps({"members": members, "scope": "db"})


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ((LEADER, READY), ("Available", "Has all that is acknowledged, on the same host")),
        ((LEADER, {**READY, "host": "10.0.0.2"}), ("Available", "Has all that is acknowledged, on another host")),
        ((LEADER, {**READY, "role": "replica"}), ("Temporarily Unavailable", "Catches up, on the same host")),
        ((LEADER, {**READY, "state": "starting"}), ("Temporarily Unavailable", "Catches up, on the same host")),
        ((LEADER, {**READY, "state": "stopped"}), ("Temporarily Unavailable", "None at the moment")),
        ((LEADER,), ("Temporarily Unavailable", "None at the moment")),
        (({**LEADER, "role": "replica"}, READY), ("Temporarily Unavailable", "Catches up, on the same host")),
    ],
)
def test_a_standby_is_available_that_has_all_that_is_acknowledged(
    members: tuple[dict[str, Any], ...], shown: tuple[str, str]
) -> None:
    assert tuple(standby.lines(standby.read(said(*members))).values()) == shown


def test_one_that_does_not_answer_is_not_available() -> None:
    assert standby.lines(None) == {"HA Status": "Temporarily Unavailable"}


def test_how_far_behind_it_is_comes_in_bytes() -> None:
    assert standby.read(said(LEADER, {**READY, "lag": 4096}))["behind"] == 4096
    assert standby.read(said(LEADER, {**READY, "lag": "unknown"}))["behind"] is None


PLATFORM, OTHER = DataHost("one", "10.0.0.1", platform=True), DataHost("two", "10.0.0.2", marked=True)
GOING: dict[str, Any] = {"ready": False, "draining": True}


@pytest.mark.parametrize(
    ("members", "primarys", "standbys", "expected"),
    [
        ((LEADER, READY), GOING, {}, True),
        ((LEADER, READY), {}, {}, False),
        ((LEADER, READY), {}, GOING, False),
        ((LEADER, READY), {"ready": False}, {}, False),
        ((LEADER, READY), GOING, GOING, False),
        ((LEADER, READY), GOING, {"ready": False}, False),
        ((LEADER, {**READY, "role": "replica"}), GOING, {}, False),
        ((LEADER, {**READY, "state": "starting"}), GOING, {}, False),
        ((LEADER,), GOING, {}, False),
        (({**LEADER, "role": "replica"}, READY), GOING, {}, False),
    ],
)
def test_a_standby_takes_over_where_the_primarys_host_is_drained_and_its_own_stays(
    members: tuple[dict[str, Any], ...], primarys: dict[str, Any], standbys: dict[str, Any], expected: bool
) -> None:
    hosts = {"member-1": replace(PLATFORM, **primarys), "member-2": replace(OTHER, **standbys)}
    assert standby.takes_over(said(*members), hosts) is expected
    assert standby.takes_over(said(*members), {"member-1": hosts["member-1"]}) is False, "nobody knows its host"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"members": [{}]}', '{"members": 1}'])
def test_what_is_no_answer_is_told(text: str) -> None:
    with pytest.raises(UnavailableError, match="Patroni: says nothing that can be read"):
        standby.read(text)
    with pytest.raises(UnavailableError, match="Patroni: says nothing that can be read"):
        standby.takes_over(text, {})

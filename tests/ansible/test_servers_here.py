"""What the role host_drain says of databases that have a server on a host, by what these say of themselves."""

import json
from types import ModuleType
from typing import Any

import pytest

from tests import role_scripts

TOLD = {"MEMBER_NAME": "member-2", "MEMBER_POSTGRES": "10.0.0.2:15003", "MEMBER_OTHERS": "10.0.0.1:15002"}
SERVICE = "local_addon-7c41-b2-2"
LEADER = {"name": "member-2", "role": "leader", "state": "running"}
READY = {"name": "member-1", "role": "sync_standby", "state": "streaming", "lag": 0}
ELSEWHERE = "its standby at 10.0.0.1"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return role_scripts.load("host_drain", "read_servers")


@pytest.mark.parametrize(
    ("members", "primary", "standby"),
    [
        ([LEADER, READY], True, ""),
        ([LEADER, {**READY, "role": "replica", "lag": 3 << 20}], True, f"{ELSEWHERE} is 3 MiB behind"),
        ([LEADER, {**READY, "role": "replica", "lag": 9}], True, f"{ELSEWHERE} is 1 MiB behind"),
        ([LEADER, {**READY, "role": "replica", "lag": "unknown"}], True, f"{ELSEWHERE} catches up"),
        ([LEADER, {**READY, "state": "starting"}], True, f"{ELSEWHERE} catches up"),
        ([LEADER, {**READY, "state": "stopped"}], True, f"{ELSEWHERE} is away"),
        ([LEADER], True, f"{ELSEWHERE} is away"),
        ([{**LEADER, "name": "member-1"}, {**READY, "name": "member-2"}], False, ""),
        ([{**LEADER, "name": "member-1"}], False, "its standby at 10.0.0.2 is away"),
        ([READY], True, "its servers do not say which of them is primary"),
    ],
)
def test_who_is_primary_and_why_the_other_one_could_not_be(
    module: ModuleType, members: list[dict[str, Any]], primary: bool, standby: str
) -> None:
    found = module.stands(SERVICE, TOLD, json.dumps({"members": members}))
    told = f"add-on 7c41-b2: {standby or f'its standby at 10.0.0.{1 if primary else 2} has not taken over'}"
    assert found == {"name": "add-on 7c41-b2", "primary": primary, "standby": standby, "told": told}


@pytest.mark.parametrize("said", [None, "", "[]", '{"members": 1}'])
def test_a_server_that_says_nothing_may_be_primary(module: ModuleType, said: str | None) -> None:
    found = module.stands(SERVICE, TOLD, said)
    assert (found["primary"], found["standby"]) == (True, "its servers do not say which of them is primary")


def test_one_whose_servers_are_all_here_is_not_told(module: ModuleType) -> None:
    told = {**TOLD, "MEMBER_OTHERS": "10.0.0.2:15002"}
    assert module.stands(SERVICE, told, json.dumps({"members": [LEADER, READY]})) is None


@pytest.mark.parametrize(
    ("hosts", "count"), [(("10.0.0.1", "10.0.0.2", "10.0.0.3"), 3), (("10.0.0.1", "10.0.0.2", "10.0.0.1"), 3),
                         (("10.0.0.1",) * 3, 0), (("10.0.0.1",), 0)],
)  # fmt: skip
def test_brokers_are_asked_that_have_others_elsewhere(module: ModuleType, hosts: tuple[str, ...], count: int) -> None:
    voters = ",".join(f"{number}@{host}:15001" for number, host in enumerate(hosts, start=1))
    assert module.voters({"KAFKA_VOTERS": voters}) == count


@pytest.mark.parametrize(
    ("ready", "standby"), [(True, ""), (False, "not all its brokers are there, or one of them is behind")]
)
def test_no_leader_of_a_kafka_has_to_be_moved_but_replicas_have_to_be_in_sync(
    module: ModuleType, ready: bool, standby: str
) -> None:
    found = module.follows(SERVICE, ready)
    assert (found["name"], found["primary"], found["standby"]) == ("add-on 7c41-b2", False, standby)

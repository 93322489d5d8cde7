"""Which hosts a stack cannot do without."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from dynoform.domain.leaving import Member, check
from dynoform.domain.placement import COMMON, MIB, Host, Placed
from dynoform.errors import ConflictError

GIB = 1024 * MIB
SHOP = uuid.UUID(int=1)


def members(*names: str, runtimes: Mapping[str, str] = MappingProxyType({}), **fields: Any) -> list[Member]:
    """The first has the platform's data; ``fields`` are of the last but one."""
    hosts = [Host(name, name, 16 * GIB, runtime=runtimes.get(name, COMMON)) for name in names]
    hosts[-2] = replace(hosts[-2], **fields)
    return [Member(host, f"10.0.0.{number + 1}", platform=number == 0) for number, host in enumerate(hosts)]


def dynos(on: str, quantity: int, size: str = "Standard-1X") -> list[Placed]:
    return [Placed(uuid.uuid4(), (SHOP, "web"), size, on) for _ in range(quantity)]


def declared(hosts: list[Member]) -> dict[str, str]:
    return {each.address: each.host.runtime for each in hosts}


def test_a_host_goes_when_the_others_have_the_memory_for_its_dynos() -> None:
    hosts = members("one", "two", "three")
    placed = dynos("three", 20) + dynos("one", 20) + dynos("two", 1, "Performance-L")
    check(hosts, placed, declared(hosts[:2]), "10.0.0.1")
    check(hosts, placed, declared(hosts), "10.0.0.1")


def refusal(hosts: list[Member], placed: list[Placed], stay: dict[str, str], platform: str = "10.0.0.1") -> str:
    with pytest.raises(ConflictError) as caught:
        check(hosts, placed, stay, platform)
    return str(caught.value)


def test_a_host_whose_dynos_fit_nowhere_stays() -> None:
    hosts = members("one", "two", "three")
    placed = [each for host in ("one", "two", "three") for each in dynos(host, 1, "Performance-L")]
    assert refusal(hosts, placed, declared(hosts[:2])) == (
        "host three: the others of the runtime common have no memory for its dynos (Performance-L is the first) "
        "— add a host first, or have fewer or smaller dynos"
    )
    # One that is made in the same run counts: how much it takes is not known.
    check(hosts, placed, declared(hosts[:2]) | {"10.0.0.9": COMMON}, "10.0.0.1")


@pytest.mark.parametrize("fields", [{}, {"emptied": True}, {"open": False}, {"ready": False}])
def test_the_last_host_of_a_runtime_that_takes_dynos_stays_while_it_has_some(fields: dict[str, Any]) -> None:
    own = {"three": "acme"} | ({"two": "acme"} if fields else {})
    hosts = members("one", "two", "three", runtimes=own, **fields)
    stay = declared(hosts[:2])
    assert refusal(hosts, dynos("three", 1), stay) == (
        "host three: is the last one of the runtime acme that takes dynos, and has some "
        "— add or undrain another one first, or scale them to 0"
    )
    check(hosts, [], stay, "10.0.0.1")


def test_of_several_hosts_the_same_one_is_named_however_the_engine_lists_them() -> None:
    hosts = members("one", "two", "three")
    placed = [each for host in ("one", "two", "three") for each in dynos(host, 1, "Performance-L")]
    for listed in (hosts, hosts[::-1]):
        with pytest.raises(ConflictError, match=r"^host three: "):
            check(listed, placed, declared(hosts[:1]), "10.0.0.1")


def test_a_host_that_is_lost_or_drained_already_has_nothing_to_leave() -> None:
    gone: list[dict[str, Any]] = [{"ready": False}, {"emptied": True}]
    for fields in gone:
        hosts = members("one", "two", "three", **fields)
        check(hosts, dynos("two", 3, "Performance-L"), declared([hosts[0], hosts[2]]), "10.0.0.1")


def test_the_platform_s_data_stay_where_they_are() -> None:
    hosts = members("one", "two")
    said = (
        "host one: has the platform's PostgreSQL, registry and sources, which do not move to another host by "
        "themselves — leave platform: true with it; to move them: bin/dynoform backup, down --purge, then restore"
    )
    assert refusal(hosts, [], declared(hosts), "10.0.0.2") == said
    assert refusal(hosts, [], declared(hosts[1:]), "10.0.0.2") == said


def test_a_host_with_data_of_a_database_stays() -> None:
    hosts = members("one", "two", "three")
    hosts[2] = replace(hosts[2], databases=("8d", "4f"))
    assert refusal(hosts, [], declared(hosts[:2])) == (
        "host three: has data of add-on 4f, 8d, which do not move to another host — copy such a database "
        "(heroku addons:create --fork; of Kafka, make another cluster) and destroy it first, or leave the host's line"
    )
    check(hosts, [], declared(hosts), "10.0.0.1")

import uuid
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynoform.domain.placement import MIB, Board, Host, Placed, reserved_bytes

SHOP, BLOG = (uuid.UUID(int=n) for n in (1, 2))
WEB = (SHOP, "web")
GIB = 1024 * MIB


def host(name: str, zone: str = "", memory: int = 8 * GIB, **fields: object) -> Host:
    return Host(name, name, memory, zone, **fields)  # type: ignore[arg-type]


def placed(number: int, on: str, group: tuple[uuid.UUID, str] = WEB, size: str = "Standard-1X") -> Placed:
    return Placed(uuid.uuid5(group[0], f"{group[1]}{number}"), group, size, on)


def fill(board: Board, count: int, group: tuple[uuid.UUID, str] = WEB, size: str = "Standard-1X") -> list[str]:
    """Put dynos one after another; the hosts that they got."""
    chosen = []
    for number in range(count):
        found = board.choose(group, size)
        assert found
        board.put(placed(number, found, group, size))
        chosen.append(found)
    return chosen


def test_dynos_of_a_type_are_spread_over_zones_then_hosts() -> None:
    board = Board([host("a1", "a"), host("a2", "a"), host("a3", "a"), host("b1", "b")])
    assert fill(board, 6) == ["a1", "b1", "a2", "b1", "a3", "b1"]


def test_other_apps_go_where_least_is() -> None:
    board = Board([host("a"), host("b"), host("c")])
    fill(board, 2)
    assert fill(board, 1, (BLOG, "web")) == ["c"]


def test_a_size_goes_where_its_memory_is_free() -> None:
    board = Board([host("large", memory=16 * GIB), host("small", memory=3 * GIB)])
    assert fill(board, 4, size="Performance-M") == ["large", "small", "large", "large"]


def test_a_dyno_that_fits_nowhere_goes_where_most_is_free() -> None:
    board = Board([host("a", memory=2 * GIB), host("b", memory=3 * GIB)])
    assert board.choose(WEB, "Performance-L") == "b"


@pytest.mark.parametrize(
    "fields", [{"ready": False}, {"open": False}, {"draining": True}, {"emptied": True}, {"runtime": "acme"}]
)
def test_no_dyno_is_put_where_none_may_be(fields: dict[str, object]) -> None:
    board = Board([host("a", **fields), host("b")])
    assert set(fill(board, 3)) == {"b"}
    assert Board([host("a", **fields)]).choose(WEB, "Standard-1X") is None


def test_apps_of_a_private_runtime_are_on_its_own_hosts() -> None:
    board = Board([host("common"), host("own", runtime="acme")])
    assert board.choose(WEB, "Standard-1X", "acme") == "own"


def test_shared_sizes_are_promised_more_memory_than_there_is_and_dedicated_ones_are_not() -> None:
    assert reserved_bytes("Standard-1X") == 128 * MIB
    assert reserved_bytes("Performance-M") == 2560 * MIB


def test_a_host_that_joins_gets_dynos_one_by_one_until_all_is_even() -> None:
    hosts = [host("a"), host("b")]
    dynos = [placed(number, "ab"[number % 2]) for number in range(6)]
    moved = 0
    board = Board([*hosts, host("c")], dynos)
    while found := board.move({}):
        dyno, target = found
        assert target == "c"
        dynos = [replace(each, host=target) if each == dyno else each for each in dynos]
        board, moved = Board([*hosts, host("c")], dynos), moved + 1
    assert Counter(each.host for each in dynos) == {"a": 2, "b": 2, "c": 2}
    assert moved == 2


def test_lone_dynos_of_many_apps_are_levelled_too() -> None:
    dynos = [placed(0, "a", (uuid.UUID(int=n), "web")) for n in range(4)]
    found = Board([host("a"), host("b")], dynos).move({})
    assert found is not None
    assert found[1] == "b"


def test_nothing_moves_for_a_difference_of_one_nor_to_a_host_that_is_closed() -> None:
    dynos = [placed(0, "a"), placed(1, "a"), placed(2, "b")]
    assert Board([host("a"), host("b")], dynos).move({}) is None
    crowded = [placed(number, "a") for number in range(5)]
    assert Board([host("a"), host("b", open=False), host("c", ready=False)], crowded).move({}) is None


def test_dynos_leave_a_crowded_zone() -> None:
    dynos = [placed(0, "a1"), placed(1, "a2")]
    found = Board([host("a1", "a"), host("a2", "a"), host("b1", "b")], dynos).move({})
    assert found is not None
    assert found[1] == "b1"


groups = st.sampled_from([(SHOP, "web"), (SHOP, "worker"), (BLOG, "web")])
sizes = st.sampled_from(["Standard-1X", "Standard-2X", "Performance-M"])


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([4, 8, 16])), min_size=1, max_size=5),
    st.lists(st.tuples(groups, sizes, st.integers(0, 4)), max_size=25),
)
def test_moves_come_to_an_end_and_spread_what_has_room(
    machines: list[tuple[str, int]], wanted: list[tuple[tuple[uuid.UUID, str], str, int]]
) -> None:
    hosts = [host(f"h{number}", zone, memory * GIB) for number, (zone, memory) in enumerate(machines)]
    dynos = [placed(number, hosts[at % len(hosts)].id, group, size) for number, (group, size, at) in enumerate(wanted)]
    for _ in range(200):
        found = Board(hosts, dynos).move({})
        if found is None:
            return
        dynos = [replace(each, host=found[1]) if each == found[0] else each for each in dynos]
    raise AssertionError("dynos are moved for ever")


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "open"),
        ({"open": False}, "closed"),
        ({"open": False, "draining": True}, "draining"),
        ({"open": False, "draining": True, "emptied": True}, "drained"),
        ({"ready": False, "emptied": True}, "lost"),
    ],
)
def test_a_hosts_state_is_one_word(fields: dict[str, object], state: str) -> None:
    assert host("a", **fields).state == state

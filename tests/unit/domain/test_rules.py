"""Rules as tables: releases, formations, config vars, sizes, back-off."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynoform.domain import backoff, config_vars, dyno_sizes, formations, releases
from dynoform.domain.formations import Scale
from dynoform.errors import InvalidInputError


@pytest.mark.parametrize(
    ("version", "description"),
    [
        ("02e3ab0f5ab0a6e7f1d4e9d6c4cf7e61c0c7fb5a", "Deploy 02e3ab0f"),
        ("abc1234", "Deploy abc1234"),
        ("v1.2 final", "Deploy v1.2 final"),
        (None, "Deploy"),
        ("", "Deploy"),
    ],
)
def test_a_deploy_is_described_by_its_commit(version: str | None, description: str) -> None:
    assert releases.deployed(version) == description


@pytest.mark.parametrize(
    ("changed", "removed", "description"),
    [
        (["FOO"], [], "Set FOO config vars"),
        (["FOO", "BAR"], [], "Set FOO, BAR config vars"),
        ([], ["FOO"], "Remove FOO config vars"),
        (["A"], ["B", "C"], "Set A, remove B, C config vars"),
    ],
)
def test_config_changes_are_described_by_name(changed: list[str], removed: list[str], description: str) -> None:
    assert releases.config_changed(changed, removed) == description


def test_a_description_has_an_end() -> None:
    names = [f"NAME_{number}" for number in range(500)]
    assert len(releases.config_changed(names, names)) <= releases.MAXIMUM_DESCRIPTION
    assert len(releases.deployed("x" * 999)) <= releases.MAXIMUM_DESCRIPTION


def test_versions_count_from_one_and_are_read_back() -> None:
    assert (releases.next_version(None), releases.next_version(41)) == (1, 42)
    assert [releases.parse_version(text) for text in ("v12", "12", "v", "", "1.0", "-1", "٣", "9" * 11)] == [
        12,
        12,
        *[None] * 6,
    ]
    assert releases.rolled_back(46) == "Rollback to v46"
    assert releases.by_user("Deploy abc", "a@b.c") == "Deploy abc by user a@b.c"
    assert releases.created_by(2, "a@b.c") == "Release v2 created by user a@b.c"


@pytest.mark.parametrize(
    ("before", "types", "after"),
    [
        ({}, ["web", "worker"], {"web": 1, "worker": 0}),
        ({}, ["worker"], {"worker": 0}),
        ({"web": 0, "worker": 3}, ["web", "worker", "clock"], {"web": 0, "worker": 3, "clock": 0}),
        ({"web": 2, "worker": 3}, ["web"], {"web": 2}),
        ({"worker": 3}, ["web", "worker"], {"web": 1, "worker": 3}),
    ],
)
def test_a_release_merges_its_process_types(before: dict[str, int], types: list[str], after: dict[str, int]) -> None:
    merged = formations.merge({name: Scale(name, quantity) for name, quantity in before.items()}, types)
    assert {name: scale.quantity for name, scale in merged.items()} == after


@pytest.mark.parametrize(
    ("quantity", "size", "result"),
    [
        (3, None, "web@3:Standard-1X"),
        ("3", "STANDARD-2x", "web@3:Standard-2X"),
        ("+1", None, "web@3:Standard-1X"),
        ("-1", None, "web@1:Standard-1X"),
        ("-9", None, "web@0:Standard-1X"),
        (None, "performance-l", "web@2:Performance-L"),
        (None, None, "web@2:Standard-1X"),
    ],
)
def test_scaling_is_absolute_or_relative(quantity: int | str | None, size: str | None, result: str) -> None:
    assert str(formations.scale(Scale("web", 2), quantity, size)) == result


@pytest.mark.parametrize("quantity", [-1, 101, "101", "+99", "1.5", "", "one", "--1", "9" * 30])
def test_a_wrong_quantity_is_refused(quantity: int | str) -> None:
    with pytest.raises(InvalidInputError):
        formations.scale(Scale("web", 2), quantity)


def test_scaling_is_logged_in_herokus_words() -> None:
    line = formations.scaled([Scale("web", 2), Scale("worker", 0, "Eco")], "ann@example.com")
    assert line == "Scaled to web@2:Standard-1X worker@0:Eco by user ann@example.com"
    assert str(formations.unknown_type("foo")) == "Couldn't find that process type (foo)."


def test_merging_config_vars_tells_what_changed() -> None:
    change = config_vars.merge({"A": "1", "B": "2", "C": "3"}, {"A": "1", "B": "x", "C": None, "D": "4", "E": None})
    assert change.config == {"A": "1", "B": "x", "D": "4"}
    assert (change.set, change.removed, change.empty) == (("B", "D"), ("C",), False)
    assert config_vars.merge({"A": "1"}, {"A": "1", "X": None}).empty


def test_the_limit_counts_bytes_of_names_and_values() -> None:
    assert config_vars.merge({}, {"A": "x" * (config_vars.MAXIMUM_BYTES - 1)}).set == ("A",)
    with pytest.raises(InvalidInputError, match="these would be 65537"):
        config_vars.merge({"A": "x" * (config_vars.MAXIMUM_BYTES - 3)}, {"B": "é"})
    with pytest.raises(InvalidInputError, match="Remove or shorten some"):
        config_vars.merge({}, {"A": "é" * 40_000})


@given(st.dictionaries(st.text(), st.text() | st.none()))
def test_what_is_accepted_can_be_exported_by_a_shell(patch: dict[str, str | None]) -> None:
    try:
        change = config_vars.merge({}, patch)
    except InvalidInputError:
        return
    for name, value in change.config.items():
        assert name.isidentifier() and name.isascii()
        assert "\0" not in value
        value.encode()


def test_sizes_are_found_in_any_case() -> None:
    size = dyno_sizes.find("sTANDARD-2x")
    assert (size.name, size.memory_mb, size.kill_mb, size.compute, size.cpus, size.pids) == (
        "Standard-2X",
        1024,
        2048,
        2,
        2,
        512,
    )
    assert dyno_sizes.find("1X").name == dyno_sizes.DEFAULT
    with pytest.raises(InvalidInputError, match=r"Couldn't find that dyno size \(nano\). Available sizes are: Eco,"):
        dyno_sizes.find("nano")


def test_sizes_grow_and_their_names_differ() -> None:
    assert len({size.name.lower() for size in dyno_sizes.SIZES}) == len(dyno_sizes.SIZES)
    assert [size.memory_mb for size in dyno_sizes.SIZES] == sorted(size.memory_mb for size in dyno_sizes.SIZES)
    assert all(size.kill_mb > size.memory_mb and size.price_cents > 0 for size in dyno_sizes.SIZES)


@pytest.mark.parametrize(
    ("crashes", "minutes"), [(0, 0), (1, 0), (2, 10), (3, 20), (4, 40), (9, 1280), (10, 1440), (999, 1440)]
)
def test_the_first_restart_is_at_once_and_later_ones_wait(crashes: int, minutes: int) -> None:
    assert backoff.delay(crashes) == timedelta(minutes=minutes)


def test_a_good_run_is_forgiven() -> None:
    assert backoff.count(5, timedelta(minutes=59)) == 6
    assert backoff.count(5, timedelta(hours=1)) == 1

"""What dynos use, in Heroku's lines, and what is too much."""

import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynoform.domain import disk, dyno_sizes, runtime_metrics
from dynoform.domain.runtime_metrics import Load, Usage

MIB = 1024 * 1024
STANDARD = dyno_sizes.find("Standard-1X")
SPLIT = f"""cache {30 * MIB}
rss {100 * MIB}
rss_huge 0
shmem {10 * MIB}
swap {2 * MIB}
pgpgin 348836
pgpgout 343403
hierarchical_memory_limit 1073741824
total_cache {33 * MIB}
total_rss {110 * MIB}
total_shmem {11 * MIB}
total_swap {3 * MIB}
total_pgpgin 400000
total_pgpgout 390000
"""
UNIFIED = f"anon {110 * MIB}\nfile {33 * MIB}\nkernel {MIB}\nshmem {11 * MIB}\npgfault 12\n"


def test_version_1_counts_with_what_is_below() -> None:
    used = runtime_metrics.usage(runtime_metrics.flat(SPLIT), 0, 1.5)
    assert used == Usage(121 * MIB, 22 * MIB, 3 * MIB, 1.5, 400_000, 390_000)
    assert used.memory == 124 * MIB


def test_version_2_tells_swap_elsewhere_and_no_pages() -> None:
    assert runtime_metrics.usage(runtime_metrics.flat(UNIFIED), 3 * MIB, 1.5) == Usage(
        121 * MIB, 22 * MIB, 3 * MIB, 1.5
    )


def test_what_is_no_name_with_a_number_is_left_out() -> None:
    assert runtime_metrics.flat("a 1\n\nb\nc x\nd 1 2\ne 5") == {"a": 1, "e": 5}


def test_samples_are_as_heroku_words_them() -> None:
    who = runtime_metrics.identity("web.1", uuid.UUID(int=7 << 96), uuid.UUID(int=9))
    assert who == "source=web.1 dyno=heroku.7.00000000-0000-0000-0000-000000000009"
    used = Usage(int(21.22 * MIB), 0, 0, 0.0, 348_836, 343_403)
    assert runtime_metrics.memory_line(who, used, STANDARD) == (
        f"{who} sample#memory_total=21.22MB sample#memory_rss=21.22MB sample#memory_cache=0.00MB "
        "sample#memory_swap=0.00MB sample#memory_pgpgin=348836pages sample#memory_pgpgout=343403pages "
        "sample#memory_quota=512.00MB"
    )
    assert "pages" not in runtime_metrics.memory_line(who, Usage(1, 1, 1, 0.0), STANDARD)
    load = Load((2.46, 1.06, 0.994))
    expected = f"{who} sample#load_avg_1m=2.46 sample#load_avg_5m=1.06 sample#load_avg_15m=0.99"
    assert runtime_metrics.load_line(who, load) == expected


def test_a_quota_is_exceeded_by_what_cannot_be_taken_back() -> None:
    quota, kill = 512 * MIB, 1024 * MIB
    assert not runtime_metrics.exceeds(Usage(quota, 900 * MIB, 0, 0.0), STANDARD)
    over = Usage(quota, 0, 20 * MIB, 0.0)
    assert runtime_metrics.exceeds(over, STANDARD)
    assert runtime_metrics.exceeded_lines(over, STANDARD) == [
        "Process running mem=532M(103.9%)",
        "Error R14 (Memory quota exceeded)",
    ]
    assert not runtime_metrics.vastly_exceeds(Usage(kill - 1, 0, 0, 0.0), STANDARD)
    assert runtime_metrics.vastly_exceeds(Usage(kill - 1, 0, 1, 0.0), STANDARD)
    assert runtime_metrics.killed_lines(STANDARD) == [
        "Process running mem=1024M(200.0%)",
        "Error R15 (Memory quota vastly exceeded)",
        "Stopping process with SIGKILL",
    ]


@pytest.mark.parametrize("size", dyno_sizes.SIZES, ids=lambda size: size.name)
def test_each_size_ends_at_herokus_multiple(size: dyno_sizes.DynoSize) -> None:
    shared = not size.dedicated or size.name in ("Performance-M", "Performance-L")
    assert size.kill_mb / size.memory_mb == pytest.approx(2 if shared else 1.2, abs=0.01)


def test_load_comes_to_what_is_used_and_goes_again() -> None:
    load = Load()
    for _ in range(3 * 60):
        load = load.after(20, 40)
    assert load.averages == pytest.approx((2, 2, 2), abs=0.1)
    idle = load.after(60, 0)
    assert idle.averages[0] == pytest.approx(load.averages[0] / math.e)
    assert idle.averages[0] < idle.averages[1] < idle.averages[2]


@given(st.floats(0.001, 3600), st.floats(-1, 100_000))
def test_a_load_is_never_below_nothing(seconds: float, cpu: float) -> None:
    assert all(0 <= average < math.inf for average in Load((1.0, 0.5, 0.0)).after(seconds, cpu).averages)


def test_room_is_made_on_a_disk_that_is_nearly_full_and_not_before() -> None:
    gib = 1 << 30
    assert disk.is_short(4 * gib, 100 * gib)
    assert not disk.is_short(6 * gib, 100 * gib)
    assert disk.is_short(gib - 1, 8 * gib)
    assert disk.takes_uploads(10 * gib, 100 * gib)
    assert not disk.takes_uploads(9 * gib, 100 * gib)  # which stops no dyno for long
    assert not disk.takes_uploads(2 * gib - 1, 8 * gib)
    assert disk.to_stop({}) is None
    assert disk.to_stop({"a": gib}) is None
    assert disk.to_stop({"a": 2 * gib, "b": 3 * gib, "c": 0}) == "b"
    assert disk.is_filled_by_build(6 * gib, 4 * gib, 100 * gib)
    assert not disk.is_filled_by_build(8 * gib, 6 * gib, 100 * gib)  # there is room
    assert not disk.is_filled_by_build(5 * gib, 4 * gib, 100 * gib)  # others have filled it
    assert disk.is_filled_by_files(300_000, 49_000, 1_000_000)
    assert not disk.is_filled_by_files(300_000, 51_000, 1_000_000)
    assert not disk.is_filled_by_files(98_000, 49_000, 1_000_000)
    assert not disk.is_filled_by_files(0, 0, 0)  # it has no such limit

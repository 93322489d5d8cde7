"""The page on limits says of each size what the code holds it to."""

from pathlib import Path

import pytest

from dynoform.build.container import LARGEST_FILE
from dynoform.domain import builds, dyno_sizes, slugs
from dynoform.domain.dyno_sizes import DynoSize

PAGE = (Path(__file__).parents[2] / "docs/reference/limits.md").read_text()


@pytest.mark.parametrize("size", dyno_sizes.SIZES, ids=lambda size: size.name)
def test_the_page_has_each_size(size: DynoSize) -> None:
    row = [size.name, f"{size.memory_mb} MB", f"{size.kill_mb} MB", size.cpus, size.cpu_shares, size.pids]
    assert f"| {' | '.join(map(str, row))} |" in PAGE.splitlines()


def test_the_page_has_no_other_sizes() -> None:
    rows = [line for line in PAGE.splitlines() if line.count(" MB |") == 2]
    assert len(rows) == len(dyno_sizes.SIZES)
    assert f"{dyno_sizes.FILES:,} files" in PAGE


def test_the_page_has_what_holds_builds() -> None:
    rows = {
        "time that its buildpacks take": builds.duration(builds.SECONDS),
        "memory": megabytes(builds.MEMORY_BYTES),
        "processes and threads": f"{builds.PROCESSES}",
        "one file": megabytes(LARGEST_FILE),
        "source, unpacked": f"{megabytes(builds.SOURCE_BYTES)}, {builds.SOURCE_FILES:,} files",
        "slug, compressed": f"{megabytes(slugs.BYTES)}, {slugs.FILES:,} files",
        "output that is kept": f"{builds.OUTPUT_CHARACTERS:,} characters",
    }
    assert [row for row in rows.items() if f"| {' | '.join(row)} |" not in PAGE.splitlines()] == []


def megabytes(size: int) -> str:
    return f"{size // builds.MIB} MB"

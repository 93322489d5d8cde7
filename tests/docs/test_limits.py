"""The page on limits says of each size what the code holds it to."""

from pathlib import Path

import pytest

from dynoform.domain import dyno_sizes
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

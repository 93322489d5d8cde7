"""10,000 lines a second to a reader, and more than can be read: what comes, when, and what is counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]


def measured(rate: int, seconds: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.logs", str(rate), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if result := os.environ.get("BENCH_RESULT"):
        Path(result).write_text(json.dumps(found), encoding="utf-8")
    return found


def test_ten_thousand_lines_a_second() -> None:
    found = measured(10_000, 20)
    assert found["received"] == found["written"]
    assert found["p99"] < 1


def test_overload() -> None:
    found = measured(0, 10)
    assert found["received"] + found["counted"] == found["written"]

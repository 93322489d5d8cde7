"""What a measurement says when what it measures fails."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dynoform.cli.bench.measure import Bench
from dynoform.cli.console import Console
from dynoform.cli.context import Context
from dynoform.cli.places import Places
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError


def test_what_a_failed_command_printed_is_kept_and_named(
    places: Places,
    stack: Stack,
    console: Console,
    program: Callable[[Path, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program(places.root / "bin" / "dynoform", "echo FAILED test_one; echo 1 failed; exit 1")
    bench = Bench(Context(places, {"PATH": os.defpath}, console), stack)
    with pytest.raises(DynoformError) as caught:
        bench.dynoform("test", "-q")
    (kept,) = tmp_path.glob("dynoform-bench-*.log")
    assert str(caught.value) == f"bin/dynoform test -q: 1 failed — see {kept}"
    assert kept.read_text() == "FAILED test_one\n1 failed\n"

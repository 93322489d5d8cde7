"""Tools are there completely or not at all."""

import multiprocessing
import os
from pathlib import Path

import pytest

from dynoform.cli.tools.store import Store, recipe_digest


def fill(target: Path) -> None:
    (target / "bin").mkdir()
    (target / "bin" / "tool").write_text("v1", encoding="utf-8")


def refuse(target: Path) -> None:
    raise AssertionError("made again")


def test_entry_is_made_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.bring("tool-1", fill)
    assert store.bring("tool-1", refuse) == first
    assert (first / "bin" / "tool").read_text(encoding="utf-8") == "v1"


def test_half_done_entry_of_a_killed_run_is_not_taken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left = tmp_path / ".tool-1.99999"
    fill_and_die(left)
    assert store.get("tool-1") is None
    store.bring("tool-1", fill)
    assert not left.exists()


def fill_and_die(directory: Path) -> None:
    directory.mkdir()
    (directory / "bin").mkdir()


def test_entry_without_its_stamp_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = store.bring("tool-1", fill)
    (entry / "stamp.json").unlink()
    assert store.get("tool-1") is None
    assert store.bring("tool-1", fill) == entry
    assert store.get("tool-1") == entry


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_damaged_entry_is_made_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    tool = store.bring("tool-1", fill) / "bin" / "tool"
    if damage == "change":
        tool.write_text("v0", encoding="utf-8")
    elif damage == "remove":
        tool.unlink()
    else:
        tool.with_name("more").touch()
    assert store.get("tool-1") is None
    assert (store.bring("tool-1", fill) / "bin" / "tool").read_text(encoding="utf-8") == "v1"


def test_failed_make_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(AssertionError):
        store.bring("tool-1", refuse)
    assert [path.name for path in tmp_path.iterdir()] == ["tool-1.lock"]


def make_slowly(directory: str, results: "multiprocessing.Queue[int]") -> None:
    def make(target: Path) -> None:
        results.put(os.getpid())
        fill(target)

    Store(Path(directory)).bring("tool-1", make)


def test_two_processes_make_an_entry_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    runs = [context.Process(target=make_slowly, args=(str(tmp_path), results)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(120)
    assert [run.exitcode for run in runs] == [0, 0]
    assert results.get(timeout=60)
    assert results.empty()


def test_recipe_digest_keeps_parts_apart() -> None:
    assert recipe_digest("ab", "c") != recipe_digest("a", "bc")
    assert recipe_digest("ab", b"c") == recipe_digest(b"ab", "c")

"""What is kept on disk: the same lines with the same numbers, whatever kind of end the log plane came to."""

import io
import os
import time
import uuid
from pathlib import Path

from dynoform.domain.log_repeats import Place
from dynoform.journal import Journal
from dynoform.logplex.buffers import KEPT_SECONDS, Buffers
from dynoform.logplex.files import Files

A, B = str(uuid.uuid4()), str(uuid.uuid4())


def opened(folder: Path, history: int = 10, maximum_bytes: int = 10**6, stream: io.StringIO | None = None) -> Buffers:
    return Buffers(history, maximum_bytes, Files(folder, Journal("logplex", stream)))


def fill(buffers: Buffers, app: str, start: int, end: int) -> None:
    for number in range(start, end):
        buffers.append(app, b"line %d" % number)
    buffers.flush()


def test_lines_and_their_numbers_outlive_the_process(tmp_path: Path) -> None:
    before = opened(tmp_path)
    for end in (3, 9, 12, 34, 35):
        fill(before, A, len(before.last(A, 10)) and int(before.last(A, 1)[0].line[5:]) + 1, end)
    fill(before, B, 0, 4)
    after = opened(tmp_path)
    for app in (A, B):
        assert after.last(app, 100) == before.last(app, 100)
    assert after.run == before.run
    assert after.last(A, 1)[0].line == b"line 34"
    fill(after, A, 35, 36)
    assert opened(tmp_path).last(A, 3) == after.last(A, 3)
    assert after.last(A, 1)[0].number == (before.last(A, 1)[0].number or 0) + 1


def test_a_file_does_not_grow_without_end(tmp_path: Path) -> None:
    buffers = opened(tmp_path)
    for number in range(0, 1_000, 3):
        fill(buffers, A, number, number + 3)
        assert (tmp_path / f"{A}.log").stat().st_size < 20 * len("line 1000\n") + 30


def test_half_a_line_is_none(tmp_path: Path) -> None:
    fill(opened(tmp_path), A, 0, 3)
    path = tmp_path / f"{A}.log"
    path.write_bytes(path.read_bytes()[:-4])
    found = opened(tmp_path)
    assert [line for _, line in found.last(A, 9)] == [b"line 0", b"line 1"]
    fill(found, A, 7, 8)
    assert [line for _, line in opened(tmp_path).last(A, 9)] == [b"line 0", b"line 1", b"line 7"]


def test_what_is_no_file_of_ours_goes(tmp_path: Path) -> None:
    (tmp_path / f"{A}.log").write_bytes(b"noise\n")
    (tmp_path / "name.log").write_bytes(b"# 1\nline\n")
    (tmp_path / f"{B}.log").write_bytes(b"")
    assert len(opened(tmp_path)) == 0
    assert [*tmp_path.glob("*.log")] == []


def test_an_app_that_gives_up_its_lines_gives_up_its_file(tmp_path: Path) -> None:
    buffers = opened(tmp_path, maximum_bytes=2_000)
    fill(buffers, A, 0, 5)
    before = buffers.last(A, 1)[0].number or 0
    fill(buffers, B, 0, 3)
    buffers.append(B, b"x" * 1_900)
    buffers.flush()
    assert buffers.last(A, 9) == []
    assert not (tmp_path / f"{A}.log").exists()
    fill(buffers, A, 5, 6)
    again = opened(tmp_path, maximum_bytes=2_000)
    assert (again.last(A, 9) or buffers.last(A, 9))[0].number > before  # type: ignore[operator]


def test_lines_go_after_a_week_of_silence(tmp_path: Path) -> None:
    buffers = opened(tmp_path)
    fill(buffers, A, 0, 2)
    buffers.expire(time.time() + KEPT_SECONDS - 60)
    assert len(buffers) == 1
    buffers.expire(time.time() + KEPT_SECONDS + 60)
    assert (len(buffers), buffers.bytes, [*tmp_path.glob("*.log")]) == (0, 0, [])
    fill(buffers, B, 0, 2)
    long_ago = time.time() - KEPT_SECONDS - 60
    os.utime(tmp_path / f"{B}.log", (long_ago, long_ago))
    again = opened(tmp_path)
    again.expire(time.time())
    assert len(again) == 0


def test_a_disk_that_takes_nothing_stops_no_line(tmp_path: Path) -> None:
    said = io.StringIO()
    buffers = opened(tmp_path, stream=said)
    fill(buffers, A, 0, 2)
    moved = tmp_path.rename(tmp_path.with_name("away"))
    fill(buffers, A, 2, 4)
    fill(buffers, A, 4, 5)
    assert len(buffers.last(A, 9)) == 5
    assert said.getvalue().count("lines are kept in memory only") == 1
    moved.rename(tmp_path)
    fill(buffers, A, 5, 6)
    assert len(opened(tmp_path).last(A, 9)) == 6


def test_what_a_drain_has_had_is_remembered(tmp_path: Path) -> None:
    files = Files(tmp_path, Journal("logplex"))
    assert files.cursors() == {}
    files.keep_cursors({"a": 5})
    assert files.cursors() == {"a": 5}
    (tmp_path / "drains").write_text("[1]")
    assert files.cursors() == {}


def test_a_line_that_comes_again_is_known_to_the_next_log_plane(tmp_path: Path) -> None:
    buffers = opened(tmp_path, history=4)
    for number in range(20):  # longer than a file gets before it is replaced
        assert buffers.take(A, Place("c0ffee", 10 * number), f"2026-11-23T23:10:{number:02d}", 1)
        buffers.append(A, b"line %d" % number)
        buffers.flush()
    again = opened(tmp_path, history=4)
    assert [line for _, line in again.last(A, 9)] == [b"line 16", b"line 17", b"line 18", b"line 19"]
    assert not again.take(A, Place("c0ffee", 150), "2026-11-23T23:10:15", 1)
    assert again.take(A, Place("c0ffee", 200), "2026-11-23T23:10:20", 1)

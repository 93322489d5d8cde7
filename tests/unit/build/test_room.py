"""A build that takes the room of its host's disk is ended."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynoform.build.room import Room

GIB = 1 << 30


def disk_with(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    """A disk of 100 GiB that has so many free at each look; the last number stays."""
    looks: Iterator[int] = iter(free)
    last = [0]

    def look(path: Path) -> os.statvfs_result:
        last[0] = next(looks, last[0])
        return os.statvfs_result((4096, 4096, 100 * GIB // 4096, 0, last[0] * GIB // 4096, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", look)


def test_the_build_that_fills_the_disk_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(monkeypatch, 7, 6, 5, 4)
    ended: list[str] = []
    done = threading.Event()

    def end() -> None:
        ended.append("ended")
        done.set()

    with Room(end, seconds=0.001) as room:
        assert done.wait(60)
    assert (room.filled, ended) == (True, ["ended"])


def test_what_the_build_itself_takes_counts_from_its_first_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    disk_with(monkeypatch, 7)
    look = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: (looks.append(threading.get_ident()), look(path))[1])
    with Room(lambda: None, seconds=60):
        assert looks == [threading.get_ident()], "not when a thread comes to it"


def test_a_build_on_a_disk_that_was_full_before_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(monkeypatch, 2, 2)
    done = threading.Event()
    with Room(done.set, seconds=0.001) as room:
        assert not done.wait(0.2)
    assert not room.filled

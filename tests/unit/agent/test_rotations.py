"""The agent tells of files that the engine has rotated, each once."""

import asyncio
import json
from pathlib import Path

import pytest

from dynoform.agent import rotations as rotations_module
from dynoform.agent.rotations import Rotations

ID = "c" * 64


class Lines:
    def __init__(self) -> None:
        self.told: list[tuple[object, str, str, dict[str, object]]] = []

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        self.told.append((app_id, source, process, json.loads(message)))


def entry(second: int, stack: str = "mine") -> str:
    attributes = {"dynoform.app": "app", "dynoform.dyno": "web.1", "dynoform.stack": stack}
    time = f"2026-11-26T06:00:{second:02d}.123456789Z"
    return json.dumps({"log": "x\n", "stream": "stdout", "attrs": attributes, "time": time}) + "\n"


def rotate(folder: Path) -> None:
    current = folder / ID / f"{ID}-json.log"
    current.rename(f"{current}.1")
    current.touch()


def write(folder: Path, *seconds: int, stack: str = "mine") -> None:
    with (folder / ID / f"{ID}-json.log").open("a") as file:
        file.write("".join(entry(second, stack) for second in seconds))


def told(first: int, last: int, lines: int, *, exact: bool = True) -> tuple[object, ...]:
    times = [f"2026-11-26T06:00:{second:02d}.123456+00:00" for second in (first, last)]
    return "app", "rotated", "web.1", {"first": times[0], "last": times[1], "lines": lines, "exact": exact}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look ends at once, also when files were rotated."""
    monkeypatch.setattr(rotations_module, "BUSY_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
def test_each_full_file_is_told_of_once_with_its_lines(tmp_path: Path) -> None:
    lines = Lines()
    rotations = Rotations("mine", tmp_path, lines)
    (tmp_path / ID).mkdir()
    (tmp_path / "noise").write_text("no folder")
    write(tmp_path, 1, 2, 3)

    async def scenario() -> None:
        await rotations.look()
        assert lines.told == []
        rotate(tmp_path)
        write(tmp_path, 4, 5)
        await rotations.look()
        await rotations.look()
        assert lines.told == [told(1, 3, 3)]
        rotate(tmp_path)
        write(tmp_path, 6)
        rotate(tmp_path)  # the file of 4 and 5 has gone unseen
        await rotations.look()
        assert lines.told[1:] == [told(6, 6, 1, exact=False)]

    asyncio.run(scenario())


def test_files_that_are_full_one_after_the_other_are_all_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotations_module, "BUSY_SECONDS", 300.0)
    lines = Lines()
    rotations = Rotations("mine", tmp_path, lines)
    (tmp_path / ID).mkdir()

    async def scenario() -> None:
        write(tmp_path, 0)
        await rotations.look()
        rotate(tmp_path)
        looking = asyncio.create_task(rotations.look())
        for second in range(1, 5):
            write(tmp_path, second)
            while len(lines.told) < second:  # noqa: ASYNC110 - what is full before that is seen is lost
                await asyncio.sleep(0.005)
            if second == 4:  # the last one
                monkeypatch.setattr(rotations_module, "BUSY_SECONDS", 0.1)
            rotate(tmp_path)
        await asyncio.wait_for(looking, 60)
        assert lines.told == [told(second, second, 1) for second in range(5)]

    asyncio.run(scenario())


@pytest.mark.usefixtures("at_once")
def test_other_stacks_and_noise_are_left_alone(tmp_path: Path) -> None:
    lines = Lines()
    (tmp_path / ID).mkdir()
    write(tmp_path, 1, stack="other")
    rotate(tmp_path)
    asyncio.run(Rotations("mine", tmp_path, lines).look())
    (tmp_path / ID / f"{ID}-json.log.1").unlink()
    (tmp_path / ID / f"{ID}-json.log.1").write_bytes(b"\xff\xfe noise")
    asyncio.run(Rotations("mine", tmp_path, lines).look())
    asyncio.run(Rotations("mine", tmp_path / "nowhere", lines).look())
    assert lines.told == []

import asyncio
from pathlib import Path

import pytest

from dynoform.errors import ConflictError, UnavailableError
from dynoform.run.engine import ERR, OUT, Engine, Frames


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data


@pytest.mark.parametrize("size", [1, 3, 8, 11, 10_000])
def test_each_part_is_of_one_of_both_outputs(size: int) -> None:
    stream = frame(1, b"out") + frame(2, b"err") + frame(1, b"") + frame(1, bytes(range(256)) * 5)
    frames = Frames()
    parts = [part for start in range(0, len(stream), size) for part in frames.feed(stream[start : start + size])]
    assert b"".join(data for _, data in parts) == b"outerr" + bytes(range(256)) * 5
    assert b"".join(data for source, data in parts if source == ERR) == b"err"
    assert {source for source, _ in parts} == {OUT, ERR}


def values(folder: Path, answer: bytes, seconds: float = 0.2) -> list[object]:
    """What comes of a stream that begins like this, and then is silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if b"200" in answer:
                await reader.read()
        finally:
            writer.close()

    async def read() -> list[object]:
        async with await asyncio.start_unix_server(serve, folder / "engine"):
            return [value async for value in Engine(str(folder / "engine")).values("/events", {"a": "b"}, seconds)]

    return asyncio.run(read())


def test_values_come_until_the_engine_is_silent(tmp_path: Path) -> None:
    assert values(tmp_path, b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}\n[2]\n{"half') == [{"a": 1}, [2]]


def test_what_is_no_stream_of_values_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="engine: GET /events: bad filter"):
        values(tmp_path, b'HTTP/1.0 400 Bad\r\nConnection: close\r\n\r\n{"message": "bad filter"}')
    with pytest.raises(UnavailableError, match="engine: GET /events"):
        asyncio.run(anext(Engine(str(tmp_path / "nowhere")).values("/events", {}, 1)))

import pytest

from dynoform.run.engine import ERR, OUT, Frames


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

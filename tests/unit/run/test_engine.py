import pytest

from dynoform.run.engine import Frames


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data


@pytest.mark.parametrize("size", [1, 3, 8, 11, 10_000])
def test_both_outputs_become_one(size: int) -> None:
    stream = frame(1, b"out") + frame(2, b"err") + frame(1, b"") + frame(1, bytes(range(256)) * 5)
    frames = Frames()
    output = b"".join(frames.feed(stream[start : start + size]) for start in range(0, len(stream), size))
    assert output == b"outerr" + bytes(range(256)) * 5

"""RELP's frames, whole and in pieces."""

import pytest

from dynoform.domain import relp
from dynoform.domain.relp import Frame, FrameError, Reader


def test_frames_come_whole_however_they_are_cut() -> None:
    stream = relp.frame(1, relp.OPEN, relp.OFFER) + relp.frame(2, relp.SYSLOG, b"a\nb 3") + relp.frame(3, relp.CLOSE)
    expected = [Frame(1, b"open", relp.OFFER), Frame(2, b"syslog", b"a\nb 3"), Frame(3, b"close", b"")]
    for size in (1, 2, 7, len(stream)):
        reader, found = Reader(), []
        for start in range(0, len(stream), size):
            found += reader.feed(stream[start : start + size])
        assert found == expected


@pytest.mark.parametrize(
    "noise", [b"x" * 60, b"1 syslog 5 abcdefg\n", b"1 syslog 999999999 x", b"1 close 5\n", b"-1 a 0\n" * 9]
)
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(FrameError):
        Reader().feed(noise)


def test_relp_is_told_from_counted_frames_as_soon_as_possible() -> None:
    assert [relp.speaks(text) for text in (b"", b"1", b"1 ", b"1 op", b"12 open ")] == [None, None, None, None, True]
    assert [relp.speaks(text) for text in (b"1 <", b"83 <190>1", b"<190>1", b"1 opera", b"8 nonsense")] == [False] * 5

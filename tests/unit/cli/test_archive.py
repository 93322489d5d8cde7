"""Backups of a stack as files: what goes in comes out, and nothing else does."""

import io
import random

import pytest

from dynoform.cli import archive
from dynoform.cli.archive import FRAME, MAGIC, Reader, Writer
from dynoform.errors import DynoformError

PASSPHRASE = "correct horse"


def written(*pieces: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, PASSPHRASE)
    for name, content in pieces:
        assert writer.piece(name, [content[:10], content[10:]]) == len(content)
    writer.close()
    return stream.getvalue()


def read(raw: bytes, passphrase: str = PASSPHRASE) -> list[tuple[str, bytes]]:
    reader = Reader(io.BytesIO(raw), passphrase, "a.backup")
    return [(name, b"".join(portions)) for name, portions in reader.pieces()]


def test_pieces_come_out_as_they_went_in() -> None:
    large = random.Random(1).randbytes(3 * FRAME + 5)  # noqa: S311 - content that does not compress
    pieces = [("manifest", b"{}"), ("volume a", large), ("empty", b""), ("last", b"z" * 100)]
    raw = written(*pieces)
    assert read(raw) == pieces
    assert b"manifest" not in raw and raw.startswith(MAGIC)


def test_a_file_is_whole_wherever_its_last_frame_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have the end of the packed stream alone."""
    monkeypatch.setattr(archive, "FRAME", 16)
    draw = random.Random(1)  # noqa: S311 - content that does not compress
    for size in range(100, 132):
        pieces = [("volume a", draw.randbytes(size))]
        assert read(written(*pieces)) == pieces


def test_a_piece_that_nobody_reads_is_left_out() -> None:
    reader = Reader(io.BytesIO(written(("a", b"1" * 5000), ("b", b"2"))), PASSPHRASE, "a.backup")
    assert [name for name, _ in reader.pieces()] == ["a", "b"]


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(DynoformError, match="cannot be decrypted with this passphrase — set PULUMI_CONFIG_PASSPHRASE"):
        read(written(("a", b"1")), "wrong")


def test_what_was_changed_moved_or_cut_off_is_noticed() -> None:
    raw = written(("a", random.Random(1).randbytes(2 * FRAME)), ("b", b"2"))  # noqa: S311 - as above
    header = len(MAGIC) + 16 + 4 + 16
    frame = 4 + FRAME + 16
    first, second = raw[header : header + frame], raw[header + frame : header + 2 * frame]
    for broken in (
        raw[:-1],
        raw[: header + 2 * frame],
        raw[: header + frame + 100] + bytes([raw[header + frame + 100] ^ 1]) + raw[header + frame + 101 :],
        raw[:header] + first + first + raw[header + 2 * frame :],
        raw[:header] + first + second,
    ):
        with pytest.raises(DynoformError, match="is not whole: it was changed or cut off"):
            read(broken)


def test_something_else_is_no_backup() -> None:
    for raw in (b"", b"PGDMP" + b"0" * 100, MAGIC):
        with pytest.raises(DynoformError, match="is no backup of a stack — name a file that bin/dynoform backup made"):
            read(raw)

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator

import pytest

from dynoform.build.slug import ByteStream, SlugLayer
from dynoform.errors import InvalidInputError

NOISE = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(3000))
LONG = "deep/" * 60 + "file.txt"


def archive(mtime: int = 1_700_000_000, uid: int = 0, extra: str = "") -> bytes:
    """A tar such as the engine gives for /app."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, content in (
            ("app", tarfile.DIRTYPE, b""),
            ("app/run", tarfile.REGTYPE, b"#!/bin/sh\n"),
            (f"app/{LONG}", tarfile.REGTYPE, NOISE),
            ("app/link", tarfile.SYMTYPE, b""),
            ("app/hard", tarfile.LNKTYPE, b""),
            ("app/pipe", tarfile.FIFOTYPE, b""),
            ("app/dévice", tarfile.CHRTYPE, b""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mtime, member.uid, member.mode = kind, len(content), mtime, uid, 0o6755
            member.uname, member.pax_headers = f"user{uid}", {"atime": str(mtime)}
            member.linkname = "run" if kind == tarfile.SYMTYPE else "app/run" if kind == tarfile.LNKTYPE else ""
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def layer(data: bytes, size: int = 1000) -> tuple[bytes, SlugLayer]:
    stream = SlugLayer(pieces(data, size))
    return b"".join(stream), stream


def test_the_same_files_give_the_same_layer_whenever_and_by_whomever_they_were_made() -> None:
    assert layer(archive())[0] == layer(archive(mtime=1, uid=1000), size=7)[0]


def test_the_layer_says_what_it_is() -> None:
    data, stream = layer(archive())
    assert stream.layer.size == len(data)
    assert stream.layer.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert stream.layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"


def test_files_belong_to_the_dyno_and_lose_special_bits() -> None:
    with tarfile.open(fileobj=io.BytesIO(layer(archive())[0])) as tar:
        members = {member.name: member for member in tar}
        assert tar.extractfile(f"app/{LONG}").read() == NOISE  # type: ignore[union-attr]
    assert list(members) == ["app", "app/run", f"app/{LONG}", "app/link", "app/hard"]
    assert {(item.uid, item.gid, item.mode, item.mtime) for item in members.values()} == {
        (1000, 1000, 0o755, 315532801)
    }
    assert (members["app/link"].linkname, members["app/hard"].linkname) == ("run", "app/run")


def test_a_slug_that_gets_too_large_is_refused_on_the_way() -> None:
    with pytest.raises(InvalidInputError, match=r"slug: is larger than 0\.1M — list what need not run in \.slugignore"):
        b"".join(SlugLayer(pieces(archive(), 4096), limit=50_000))


def test_a_slug_of_too_many_files_is_refused_on_the_way() -> None:
    assert b"".join(SlugLayer(pieces(archive(), 4096), files=7))
    with pytest.raises(
        InvalidInputError, match=r"slug: has more than 6 files — list what need not run in \.slugignore"
    ):
        b"".join(SlugLayer(pieces(archive(), 4096), files=6))


def test_only_one_piece_is_held_at_a_time() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield os.urandom(1024)

    stream = ByteStream(endless())
    assert len(stream.read(512)) == 512
    assert taken == 1

import hashlib

import pytest

from dynoform.domain import rendezvous

MARKER = "\uffff heroku-command-exit-status: ".encode()


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_a_secret_is_long_random_and_known_by_its_digest() -> None:
    one, two = rendezvous.new_secret(), rendezvous.new_secret()
    assert one != two
    assert len(one) == rendezvous.SECRET_LENGTH
    assert rendezvous.digest(one) == hashlib.sha256(one.encode()).hexdigest()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("code", [b"0", b"137"])
def test_the_exit_status_is_one_chunk_however_it_comes(size: int, end: bytes, code: bytes) -> None:
    status = rendezvous.ExitStatus()
    line = MARKER + code + end
    chunks = [chunk for piece in pieces(b"output\n" + line + b"after", size) for chunk in status.feed(piece)]
    chunks.append(status.rest())
    assert b"".join(chunks) == b"output\n" + line + b"after"
    assert [chunk for chunk in chunks if rendezvous.is_status(chunk)] == [line]


@pytest.mark.parametrize(
    "data", [b"plain", "\uffff".encode() + b" other", MARKER + b"12345\n", MARKER + b"x\n", b"\xef\xbf\xbd"]
)
def test_what_is_no_exit_status_passes(data: bytes) -> None:
    status = rendezvous.ExitStatus()
    chunks = [chunk for piece in pieces(data + b"\nmore", 4) for chunk in status.feed(piece)]
    assert b"".join(chunks) == data + b"\nmore"
    assert not status.holds


def test_nothing_is_held_back_for_ever() -> None:
    status = rendezvous.ExitStatus()
    assert status.feed(b"a\xef\xbf") == [b"a"]
    assert status.holds
    assert status.rest() == b"\xef\xbf"
    assert not status.holds

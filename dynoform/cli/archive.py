"""The file that a backup of a stack is: pieces, one after the other, compressed and encrypted by a passphrase.

A header with a salt; then frames of up to a megabyte, each by AES-256-GCM under a key that scrypt makes of the
passphrase, the first one empty: what opens it is the passphrase. A frame's place is its nonce, and the last one says
that it is the last: what was cut off, moved or changed is noticed. Inside: pieces with a name and any number of
portions.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dynoform.errors import DynoformError

MAGIC = b"DYNOFORM BACKUP 1\n"
FRAME = 1024 * 1024
_SALT = 16
_LENGTH = struct.Struct(">I")
_NONCE = struct.Struct(">IQ")
_MORE, _LAST = b"more", b"last"
_TAG = 16


class Writer:
    """Writes an archive to a binary stream; `close` makes it whole."""

    def __init__(self, stream: BinaryIO, passphrase: str) -> None:
        """Writes the header."""
        salt = os.urandom(_SALT)
        stream.write(MAGIC + salt)
        self._stream = stream
        self._cipher = AESGCM(_key(passphrase, salt))
        self._squeeze = zlib.compressobj(1)
        self._held = bytearray()
        self._count = 0
        self._frame(_MORE)

    def piece(self, name: str, portions: Iterable[bytes]) -> int:
        """Write a piece; returns its bytes."""
        self._put(name.encode())
        size = 0
        for portion in portions:
            for start in range(0, len(portion), FRAME):
                part = portion[start : start + FRAME]
                self._put(part)
                size += len(part)
        self._put(b"")
        return size

    def document(self, name: str, content: Any) -> None:
        """Write a piece of JSON."""
        self.piece(name, [json.dumps(content).encode()])

    def close(self) -> None:
        """Write the end."""
        self._put(b"")
        self._held += self._squeeze.flush()
        while len(self._held) > FRAME:
            self._frame(_MORE)
        self._frame(_LAST)

    def _put(self, part: bytes) -> None:
        self._held += self._squeeze.compress(_LENGTH.pack(len(part)) + part)
        while len(self._held) > FRAME:
            self._frame(_MORE)

    def _frame(self, kind: bytes) -> None:
        plain = bytes(self._held[:FRAME])
        del self._held[:FRAME]
        sealed = self._cipher.encrypt(_NONCE.pack(0, self._count), plain, kind)
        self._count += 1
        self._stream.write(_LENGTH.pack(len(sealed)) + sealed)


class Reader:
    """Reads an archive from a binary stream, piece by piece."""

    def __init__(self, stream: BinaryIO, passphrase: str, name: str) -> None:
        """`name` is what errors call it. Raises `DynoformError` for what is no backup, or another's."""
        self._name = name
        header = stream.read(len(MAGIC) + _SALT)
        if not header.startswith(MAGIC) or len(header) != len(MAGIC) + _SALT:
            raise DynoformError(name, "is no backup of a stack", "name a file that bin/dynoform backup made")
        self._stream = stream
        self._cipher = AESGCM(_key(passphrase, header[len(MAGIC) :]))
        self._expand = zlib.decompressobj()
        self._held = bytearray()
        self._count = 0
        self._ended = False
        self._frame()

    def pieces(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Names and portions, in the order in which they were written; portions have to be read before the next piece.

        Raises `DynoformError` at a frame that was changed or cut off, or with another passphrase.
        """
        while name := self._part():
            portions = self._portions()
            yield name.decode(), portions
            for _ in portions:
                pass
        while not self._ended:  # one more may have nothing but the end of the packed stream
            if self._expand.decompress(self._expand.unconsumed_tail + self._frame()):
                raise self._broken()

    def _portions(self) -> Iterator[bytes]:
        while part := self._part():
            yield part

    def _part(self) -> bytes:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        return self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            # A megabyte of zeros was a kilobyte: not all that a frame has comes out at once.
            packed = self._expand.unconsumed_tail or self._frame()
            self._held += self._expand.decompress(packed, FRAME)
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _frame(self) -> bytes:
        before = self._stream.read(_LENGTH.size)
        if self._ended or len(before) != _LENGTH.size:
            raise self._broken()
        (length,) = _LENGTH.unpack(before)
        sealed = self._stream.read(length) if length <= FRAME + _TAG else b""
        nonce = _NONCE.pack(0, self._count)
        self._count += 1
        for kind in (_MORE, _LAST):
            try:
                plain = self._cipher.decrypt(nonce, sealed, kind)
            except (InvalidTag, ValueError):
                continue
            self._ended = kind == _LAST
            return plain
        raise self._broken()

    def _broken(self) -> DynoformError:
        if self._count <= 1:
            why = "cannot be decrypted with this passphrase"
            return DynoformError(self._name, why, "set PULUMI_CONFIG_PASSPHRASE_FILE to the one that the stack had")
        return DynoformError(self._name, "is not whole: it was changed or cut off", "use another backup")


def _key(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=64 * 1024 * 1024, dklen=32)

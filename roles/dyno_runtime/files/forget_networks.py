"""Takes a stack's networks out of what an engine that was killed has kept of them, before it starts again.

The engine's bridge driver restores its networks when it starts. A swarm's are made anew by Swarm, which the driver then
refuses ("network … already exists", "port is already allocated"), so that no dyno starts on the host any more
(https://github.com/moby/moby/issues/37087). An engine that is stopped forgets them by itself. All networks on the
bridges given here are the swarm's, so it is always right to forget them; nothing else in the file is touched.

Arguments: the engine's local-kv.db, and names of bridges. The file is a bolt database
(https://github.com/etcd-io/bbolt): pages of elements, in the order of their keys; a value has eight bytes before its
JSON.
"""

import fcntl
import json
import os
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

PREFIX = b"docker/network/v1.0/"
MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, BUCKET = 1, 2, 1
HEADER = 16
"""Bytes before a page's elements, of an element, and of what a bucket's value begins with."""
DEPTH = 20


class Kept:
    """The database in memory; raises ``ValueError`` where it is not as expected."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        metas = [meta for meta in (self._meta(0), self._meta(self._size())) if meta]
        if not metas:
            raise ValueError("it has no page that says what is where")
        self.page_size, self.root, _ = max(metas, key=lambda meta: meta[2])

    def _size(self) -> int:
        """The page's size by the first page, or else the usual one: that page may have been torn."""
        (size,) = struct.unpack_from("<I", self.data, HEADER + 8) if len(self.data) > HEADER + 12 else (0,)
        return size if size in {1 << n for n in range(9, 17)} else 4096

    def _meta(self, at: int) -> tuple[int, int, int] | None:
        """Page size, page of the root bucket and number of the transaction, if they are whole."""
        if len(self.data) < at + 80:
            return None
        magic, version, size, _, root, _, _, _, number, checksum = struct.unpack_from("<IIIIQQQQQQ", self.data, at + 16)
        if (magic, version) != (MAGIC, VERSION) or checksum != fnv(self.data[at + 16 : at + 72]):
            return None
        return size, root, number

    def elements(self) -> Iterator[tuple[int, int, bytes, int, int]]:
        """Page, number within it, key, and where the value begins and ends, of everything in all buckets."""
        yield from self._walk(self.root * self.page_size, 0)

    def _walk(self, page: int, depth: int) -> Iterator[tuple[int, int, bytes, int, int]]:
        _, flags, count, _ = struct.unpack_from("<QHHI", self.data, page)
        if depth > DEPTH or not flags & (BRANCH | LEAF):
            raise ValueError("its pages are not as expected")
        for number in range(count):
            at = page + HEADER + HEADER * number
            if flags & BRANCH:
                (child,) = struct.unpack_from("<Q", self.data, at + 8)
                yield from self._walk(child * self.page_size, depth + 1)
                continue
            kind, position, key_size, size = struct.unpack_from("<IIII", self.data, at)
            begin = at + position + key_size
            if kind & BUCKET:
                (child,) = struct.unpack_from("<Q", self.data, begin)
                yield from self._walk(child * self.page_size if child else begin + HEADER, depth + 1)
            else:
                yield page, number, bytes(self.data[at + position : begin]), begin, begin + size

    def remove(self, page: int, number: int) -> None:
        """Take an element out of its page: those after it move up, and with them what points to their data."""
        (count,) = struct.unpack_from("<H", self.data, page + 10)
        for other in range(number + 1, count):
            at = page + HEADER + HEADER * other
            kind, position, key_size, size = struct.unpack_from("<IIII", self.data, at)
            struct.pack_into("<IIII", self.data, at - HEADER, kind, position + HEADER, key_size, size)
        struct.pack_into("<H", self.data, page + 10, count - 1)


def fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return found


def forget(data: bytes, bridges: set[str]) -> tuple[bytes, list[str]]:
    """The database without the networks on these bridges, and the ids of those that it had."""
    kept = Kept(data)
    found = [(each, value(kept, each)) for each in kept.elements() if each[2].startswith(PREFIX)]
    stale = [each for each, read in found if is_in(each[2], "bridge") and read.get("BridgeName") in bridges]
    configs = {str(read.get("id")) for each, read in found if is_in(each[2], "network") and on(read) in bridges}
    for page, number, *_ in sorted(stale, reverse=True):
        kept.remove(page, number)
    # With the networks goes what counted them as users of those that they were made from.
    for each, read in found if stale else ():
        _, _, key, begin, end = each
        if is_in(key, "endpoint_count") and identifier(key) in configs and read.get("Count"):
            kept.data[begin + 8 : end] = b'{"Count":0}'.ljust(end - begin - 8)
    return bytes(kept.data), [identifier(each[2]) for each in stale]


def value(kept: Kept, element: tuple[int, int, bytes, int, int]) -> dict[str, object]:
    """What an element has, empty for one that is no JSON object."""
    try:
        read = json.loads(kept.data[element[3] + 8 : element[4]] or b"{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def is_in(key: bytes, folder: str) -> bool:
    """Whether a key is directly in a folder."""
    return key.startswith(PREFIX + folder.encode() + b"/")


def identifier(key: bytes) -> str:
    """The last part of a key."""
    return key.decode(errors="replace").rstrip("/").rpartition("/")[2]


def on(network: dict[str, object]) -> str:
    """The bridge that a config-only network is for."""
    generic = network.get("generic") if network.get("configOnly") else {}
    options = generic.get("com.docker.network.generic") if isinstance(generic, dict) else {}
    return str(options.get("com.docker.network.bridge.name", "")) if isinstance(options, dict) else ""


def main() -> None:
    """Changes the file, as a whole or not at all; not while an engine has it open, or when it is not as expected."""
    path, bridges = Path(sys.argv[1]), set(sys.argv[2:])
    if not path.exists():
        return
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            data, forgotten = forget(file.read(), bridges)
        except (ValueError, struct.error) as error:
            sys.exit(f"{path}: {error}; it is left as it is")
        if not forgotten:
            return
        fresh = path.with_name(f".{path.name}.dynoform")
        with fresh.open("wb") as other:
            other.write(data)
            os.fchmod(other.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
            other.flush()
            os.fsync(other.fileno())
        fresh.replace(path)
    print(f"networks that Swarm makes anew, forgotten: {', '.join(forgotten)}")


if __name__ == "__main__":
    main()

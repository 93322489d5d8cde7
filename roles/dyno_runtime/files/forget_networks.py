"""Takes a stack's networks out of what an engine that was killed has kept of them, before it starts again.

The engine's bridge driver restores its networks when it starts. A swarm's are made anew by Swarm, which the driver then
refuses ("network … already exists", "port is already allocated"), so that no dyno starts on the host any more
(https://github.com/moby/moby/issues/37087). An engine that is stopped forgets them by itself. All networks on the
bridges given here are the swarm's, so it is always right to forget them; nothing else in the file is touched.

Arguments: the engine's local-kv.db, and names of bridges. The file is a bolt database (https://github.com/etcd-io/bbolt):
pages of elements, in the order of their keys; a value has eight bytes before its JSON. It is written anew, with each
bucket in a page of its own: to take elements out of pages is to keep what other pages say of them right.
"""

import fcntl
import json
import os
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = b"docker/network/v1.0/"
MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META, FREELIST, BUCKET = 1, 2, 4, 16, 1
HEADER = 16
"""Bytes before a page's elements, of an element, and of what a bucket's value begins with."""
DEPTH = 20


@dataclass(frozen=True)
class Bucket:
    """Values by key, and the number that the database counts for it."""

    sequence: int
    values: Mapping[bytes, bytes]


@dataclass(frozen=True)
class Kept:
    """What a database has: its buckets by name. That of an engine has but one, ``libnetwork``."""

    buckets: Mapping[bytes, Bucket]
    page_size: int = 4096
    transaction: int = 0

    def encoded(self) -> bytes:
        """The file: two heads, the list of free pages (none), a page of each bucket, the page of their names."""
        pages = [b"", b"", self._page(2, FREELIST, 0, b"")]
        heads: dict[bytes, tuple[int, bytes]] = {}
        for name, bucket in self.buckets.items():
            heads[name] = BUCKET, struct.pack("<QQ", len(pages), bucket.sequence)
            pages += self._leaf(len(pages), {key: (0, value) for key, value in bucket.values.items()})
        root = len(pages)
        pages += self._leaf(root, heads)
        pages[:2] = [self._head(number, root, len(pages)) for number in (0, 1)]
        return b"".join(pages)

    def _leaf(self, number: int, elements: Mapping[bytes, tuple[int, bytes]]) -> list[bytes]:
        """A page, with those that it overflows into."""
        heads, bodies = b"", b""
        for index, (key, (kind, value)) in enumerate(sorted(elements.items())):
            position = HEADER * (len(elements) - index) + len(bodies)
            heads += struct.pack("<IIII", kind, position, len(key), len(value))
            bodies += key + value
        page = self._page(number, LEAF, len(elements), heads + bodies)
        return [page[at : at + self.page_size] for at in range(0, len(page), self.page_size)]

    def _page(self, number: int, flags: int, count: int, content: bytes) -> bytes:
        pages = -(-(HEADER + len(content)) // self.page_size)
        page = struct.pack("<QHHI", number, flags, count, pages - 1) + content
        return page.ljust(pages * self.page_size, b"\0")

    def _head(self, number: int, root: int, pages: int) -> bytes:
        free, transaction = 2, self.transaction + number
        head = struct.pack("<IIIIQQQQQ", MAGIC, VERSION, self.page_size, 0, root, 0, free, pages, transaction)
        return self._page(number, META, 0, head + struct.pack("<Q", fnv(head)))


class Reader:
    """Reads a database; raises ``ValueError`` where it is not as expected."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        metas = [meta for meta in (self._meta(0), self._meta(self._size())) if meta]
        if not metas:
            raise ValueError("it has no page that says what is where")
        self.page_size, self.root, self.transaction = max(metas, key=lambda meta: meta[2])

    def read(self) -> Kept:
        """All of it."""
        buckets = {}
        for name, kind, begin, end in self._elements(self.root * self.page_size, 0):
            if kind != BUCKET or end - begin < HEADER:
                raise ValueError("it has more than buckets")
            child, sequence = struct.unpack_from("<QQ", self.data, begin)
            page = child * self.page_size if child else begin + HEADER
            buckets[name] = Bucket(sequence, dict(self._values(page)))
        return Kept(buckets, self.page_size, self.transaction)

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

    def _values(self, page: int) -> Iterator[tuple[bytes, bytes]]:
        for key, kind, begin, end in self._elements(page, 0):
            if kind:
                raise ValueError("it has buckets in a bucket")
            yield key, self.data[begin:end]

    def _elements(self, page: int, depth: int) -> Iterator[tuple[bytes, int, int, int]]:
        """Key, kind, and where the value begins and ends, of what a page leads to."""
        _, flags, count, _ = struct.unpack_from("<QHHI", self.data, page)
        if depth > DEPTH or not flags & (BRANCH | LEAF):
            raise ValueError("its pages are not as expected")
        for at in range(page + HEADER, page + HEADER + HEADER * count, HEADER):
            if flags & BRANCH:
                (child,) = struct.unpack_from("<Q", self.data, at + 8)
                yield from self._elements(child * self.page_size, depth + 1)
                continue
            kind, position, key_size, size = struct.unpack_from("<IIII", self.data, at)
            begin = at + position + key_size
            if begin + size > len(self.data):
                raise ValueError("its pages are not as expected")
            yield self.data[at + position : begin], kind, begin, begin + size


def fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return found


def forget(data: bytes, bridges: set[str]) -> tuple[bytes, list[str]]:
    """The database without the networks on these bridges, and the ids of those that it had."""
    kept = Reader(data).read()
    forgotten: list[str] = []
    buckets = {}
    for name, bucket in kept.buckets.items():
        found = {key: content(value) for key, value in bucket.values.items() if key.startswith(PREFIX)}
        stale = {key for key, read in found.items() if is_in(key, "bridge") and read.get("BridgeName") in bridges}
        configs = {str(read.get("id")) for key, read in found.items() if is_in(key, "network") and on(read) in bridges}
        # With the networks goes what counted them as users of those that they were made from.
        users = {key for key in found if is_in(key, "endpoint_count") and identifier(key) in configs}
        values = {
            key: value[:8] + b'{"Count":0}' if key in users else value
            for key, value in bucket.values.items()
            if key not in stale
        }
        buckets[name] = Bucket(bucket.sequence, values)
        forgotten += [identifier(key) for key in sorted(stale)]
    return (Kept(buckets, kept.page_size, kept.transaction).encoded() if forgotten else data), forgotten


def content(value: bytes) -> dict[str, object]:
    """What an element has, empty for one that is no JSON object."""
    try:
        read = json.loads(value[8:] or b"{}")
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

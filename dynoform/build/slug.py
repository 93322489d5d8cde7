"""An app's files as layers: read as the engine streams them, made the same for the same files, compressed.

A layer for each part (``dynoform.domain.slugs.part``): the registry and hosts have those that a push has not changed.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from isal import isal_zlib

from dynoform.domain import slugs
from dynoform.domain.builds import megabytes
from dynoform.domain.images import EPOCH, Layer
from dynoform.errors import InvalidInputError, UnavailableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DYNO = 1000
"""Uid and gid of the user ``dyno`` in the stack images."""
TAR_END = b"\0" * (2 * tarfile.BLOCKSIZE)
_CHUNK = 256 * 1024
# The wait for a release was mostly this: nine times as fast as zlib, for 10 % more bytes.
_LEVEL = 2
_KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)


class ByteStream(io.RawIOBase):
    """Makes a file that can be read of an iterator of bytes, holding one piece at a time."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """``chunks`` may be of any size."""
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is for reading only."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer as far as the present piece goes; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        view = memoryview(buffer)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@dataclass(frozen=True)
class LayerFile:
    """A layer whose compressed bytes are in a file."""

    layer: Layer
    path: Path

    def read(self) -> Iterator[bytes]:
        """The bytes for the registry."""
        with self.path.open("rb") as file:
            while data := file.read(_CHUNK):
                yield data


def write_layers(
    archive: Iterator[bytes], folder: Path, limit: int = slugs.BYTES, files: int = slugs.FILES
) -> list[LayerFile]:
    """The layers of a slug, lowest first, in files of an empty folder; at most one for each part.

    ``archive`` is the engine's tar of ``/app``, in the engine's order, which is by name; ``limit`` is of all layers
    together, in bytes. Raises ``InvalidInputError`` when the slug gets larger, or has more than so many ``files``, and
    ``UnavailableError`` when there is no room for it.
    """
    try:
        with ExitStack() as opened:
            return _written(_Splitter(folder, limit, opened), archive, files)
    except OSError as error:
        raise UnavailableError("slug", f"cannot be written down ({error.strerror or error})") from error


def _written(splitter: "_Splitter", archive: Iterator[bytes], files: int) -> list[LayerFile]:
    with tarfile.open(fileobj=ByteStream(archive), mode="r|", bufsize=_CHUNK) as found:
        for number, member in enumerate(found):
            found.members = []  # type: ignore[attr-defined]  # it would remember all of them
            if number >= files:
                why = f"has more than {files} files"
                raise InvalidInputError("slug", why, f"list what need not run in {slugs.IGNORE_FILE}")
            if member.type in _KINDS:
                splitter.add(found, member)
    return splitter.finish()


class _Splitter:
    """Gives each member of an archive to the layer of its part, with the folders that it is in."""

    def __init__(self, folder: Path, limit: int, opened: ExitStack) -> None:
        self._opened = opened
        self._folder = folder
        self._limit = limit
        self._layers: dict[int, _Writer] = {}
        self._around: tuple[tarfile.TarInfo, ...] = ()
        """The folders that the present member is in, outermost first."""

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        clean = _normalised(member)
        while self._around and not clean.name.startswith(f"{self._around[-1].name}/"):
            self._around = self._around[:-1]
        # A layer is unpacked alone: a hard link has to be in that of its target.
        layer = self._layer(clean.linkname if clean.islnk() else clean.name)
        if clean.isdir():
            self._around = (*self._around, clean)
        layer.enter(self._around)
        if not clean.isdir():
            layer.write(member_bytes(clean))
        if member.isreg():
            for data in contents(archive, member):
                layer.write(data)
                self._check()
        self._check()

    def finish(self) -> list[LayerFile]:
        made = [layer.finish() for _, layer in sorted(self._layers.items())]
        self._check()
        return made

    def _layer(self, name: str) -> "_Writer":
        part = slugs.part(name.partition("/")[2])
        if part not in self._layers:
            path = self._folder / f"layer-{part}"
            self._layers[part] = _Writer(path, self._opened.enter_context(path.open("wb")))
        return self._layers[part]

    def _check(self) -> None:
        if sum(layer.size for layer in self._layers.values()) > self._limit:
            raise InvalidInputError(
                "slug", f"is larger than {megabytes(self._limit)}", f"list what need not run in {slugs.IGNORE_FILE}"
            )


class _Writer:
    """One layer on its way into its file; ``size`` is in bytes so far."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.size = 0
        self._path = path
        self._file = file
        # 31: gzip, with no name and no time in its header.
        self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, 31)
        self._digest = hashlib.sha256()
        self._plain = hashlib.sha256()
        self._entered: tuple[tarfile.TarInfo, ...] = ()

    def enter(self, folders: tuple[tarfile.TarInfo, ...]) -> None:
        """Have these folders, outermost first: what is in the last one comes next. Else they would be root's."""
        if folders is self._entered:
            return
        known = {folder.name for folder in self._entered}
        for folder in folders:
            if folder.name not in known:
                self.write(member_bytes(folder))
        self._entered = folders

    def write(self, data: bytes) -> None:
        self._plain.update(data)
        self._keep(self._compressor.compress(data))

    def finish(self) -> LayerFile:
        self.write(TAR_END)
        self._keep(self._compressor.flush())
        self._file.flush()
        digest, diff_id = (f"sha256:{one.hexdigest()}" for one in (self._digest, self._plain))
        return LayerFile(Layer(digest, self.size, diff_id), self._path)

    def _keep(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)
        self.size += len(data)


def _normalised(member: tarfile.TarInfo) -> tarfile.TarInfo:
    clean = tarfile.TarInfo(member.name)
    clean.type, clean.size, clean.linkname = member.type, member.size if member.isreg() else 0, member.linkname
    clean.mode = member.mode & 0o777  # no setuid, no setgid
    clean.uid = clean.gid = DYNO
    clean.mtime = EPOCH
    return clean


def member_bytes(member: tarfile.TarInfo) -> bytes:
    """A member's header, in the format that takes any name."""
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def contents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    """A regular file's bytes, padded as a tar has them."""
    file = archive.extractfile(member)
    while file and (data := file.read(_CHUNK)):
        yield data
    yield b"\0" * (-member.size % tarfile.BLOCKSIZE)

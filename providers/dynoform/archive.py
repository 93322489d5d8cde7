"""An app's source as a tarball: the same source gives the same bytes, whenever and wherever it is packed."""

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import InputError

LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".pytest_cache", ".DS_Store"}
)
"""Names of what is never source: made by tools, or made again by the build. ``.slugignore`` is the build's to apply."""


def source_hash(folder: Path) -> str:
    """SHA-256 of the source: names, kinds, executable bits and contents. Raises ``InputError`` when there is none."""
    digest = _Digest()
    write_archive(folder, digest)
    return digest.hexdigest()


def compressed_archive(folder: Path) -> bytes:
    """The source as a gzip'ed tarball."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as compressed:
        write_archive(folder, compressed)
    return buffer.getvalue()


def write_archive(folder: Path, target: "IO[bytes] | gzip.GzipFile | _Digest") -> None:
    """Writes the source as a tarball to ``target``: sorted, no times, no owners, two modes."""
    if not folder.is_dir():
        raise InputError(
            "source", f"is {str(folder)!r}, which is no directory", "give the directory of the app's source"
        )
    empty = True
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for path in _paths(folder):
            empty = False
            member = _plain(archive.gettarinfo(path, str(path.relative_to(folder))))
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            elif member.isdir() or member.issym():
                archive.addfile(member)
    if empty:
        raise InputError("source", f"is {str(folder)!r}, which is empty", "give the directory of the app's source")


class _Digest:
    """A file that keeps nothing but the hash of what was written."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.hexdigest = self._hash.hexdigest

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return len(data)


def _paths(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted([*folders, *files]):
            if name not in LEFT_OUT and not name.endswith(".pyc"):
                yield Path(root, name)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.type = tarfile.REGTYPE if member.islnk() else member.type
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member

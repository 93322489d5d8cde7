"""An uploaded source: looked through before any of it is used, then passed on to the container as a stream."""

import tarfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dynoform.build.slug import DYNO, contents, member_bytes
from dynoform.domain import app_json, builds, image_files, slugs, stacks
from dynoform.domain.images import EPOCH
from dynoform.errors import InvalidInputError

_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_CHUNK = 256 * 1024
_HEADER_BYTES = 1024 * 1024
_TEXT_BYTES = 256 * 1024
_READ = ("Procfile", slugs.IGNORE_FILE, app_json.FILE, stacks.MANIFEST, stacks.PROJECT)


class _Member(tarfile.TarInfo):
    """Refuses headers (long names, attributes) that would be read into memory whole and are not small."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in _HEADERS or self.size <= _HEADER_BYTES:
            return super()._proc_member(archive)  # type: ignore[misc, no-any-return]
        raise InvalidInputError("source", "has a header larger than 1 MiB", "pack it with plain tar")


@dataclass
class Source:
    """A source that was found good. ``texts`` has the contents of those files of ``_READ`` that there are."""

    path: Path
    texts: dict[str, str] = field(default_factory=dict)
    size: int = 0
    files: int = 0
    links: set[str] = field(default_factory=set)

    @classmethod
    def inspect(cls, path: Path) -> Self:
        """Read the whole tarball (plain or compressed) at ``path`` once.

        Raises ``InvalidInputError``: not a tarball, too large, too many files, a path or link out of the root,
        a device.
        """
        source = cls(path)
        for archive, member, name in source._members():
            source._check(member, name)
            if name in _READ and member.isreg():
                file = archive.extractfile(member)
                source.texts[name] = file.read(_TEXT_BYTES).decode(errors="replace") if file else ""
        if not source.files:
            raise InvalidInputError("source", "has no files in it", "pack the app's folder with tar")
        return source

    def members(self, folder: str) -> Iterator[bytes]:
        """The source as members of a plain tar, below ``folder``: owned by ``dyno``, without what is ignored."""
        patterns = slugs.ignore_patterns(self.texts.get(slugs.IGNORE_FILE, ""))
        for archive, member, name in self._members():
            if name and not _ignored(name, member, patterns):
                yield member_bytes(_for_container(member, name, folder))
                if member.isreg():
                    yield from contents(archive, member)

    def found(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str]]:
        """All members, with their paths."""
        return self._members()

    def read(self, names: Collection[str]) -> dict[str, str]:
        """The texts of those of these files that there are; the beginning of a very long one."""
        found = {}
        for archive, member, name in self._members():
            if name in names and member.isreg():
                file = archive.extractfile(member)
                found[name] = file.read(2 * _TEXT_BYTES).decode(errors="replace") if file else ""
        return found

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str]]:
        try:
            with tarfile.open(self.path, mode="r|*", bufsize=_CHUNK, tarinfo=_Member) as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # it would remember all of them
                    yield archive, member, slugs.safe_path(member.name)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise InvalidInputError("source", f"is not a whole tarball ({error})", "upload a .tar.gz") from None
        except OSError as error:
            raise InvalidInputError(
                "source", f"cannot be read ({error.strerror or error})", "upload it again"
            ) from None

    def _check(self, member: tarfile.TarInfo, name: str) -> None:
        self.files += 1
        self.size += member.size
        if self.files > builds.SOURCE_FILES:
            raise InvalidInputError("source", f"has more than {builds.SOURCE_FILES} files", "leave some out")
        if self.size > builds.SOURCE_BYTES:
            raise InvalidInputError(
                "source", f"is larger than {builds.megabytes(builds.SOURCE_BYTES)}", "leave some out"
            )
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()) or member.issparse():
            raise InvalidInputError("source", f"{name[:80]!r} is not a plain file, folder or link", "leave it out")
        self._check_links(member, name)

    def _check_links(self, member: tarfile.TarInfo, name: str) -> None:
        parts = name.split("/")
        if self.links and any("/".join(parts[:count]) in self.links for count in range(1, len(parts))):
            raise InvalidInputError("source", f"{name[:80]!r} is in a folder that is a link", "pack it again")
        if member.issym():
            slugs.check_link(name, member.linkname)
            self.links.add(name)
        elif member.islnk():
            target = slugs.safe_path(member.linkname)
            if target in self.links or not target:
                raise InvalidInputError("source", f"{name[:80]!r} is a hard link to a link", "pack it again")
            self.links.add(name)
        else:
            self.links.discard(name)


@dataclass(frozen=True)
class SourceContext:
    """The files of a source below a folder that images may have, without what its ``.dockerignore`` leaves out."""

    source: Source
    folder: str
    rules: Sequence[image_files.Rule]

    def members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str, str]]:
        """Each with its path below the folder, and a hard link with the path of what it is linked to."""
        for archive, member, name in self.source.found():
            path = self._below(name)
            if path and not image_files.is_ignored(path, self.rules):
                member.mode &= 0o777  # no setuid, no setgid
                yield archive, member, path, self._below(slugs.safe_path(member.linkname)) if member.islnk() else ""

    def _below(self, name: str) -> str:
        if not self.folder:
            return name
        return name.removeprefix(f"{self.folder}/") if name.startswith(f"{self.folder}/") else ""


def _ignored(name: str, member: tarfile.TarInfo, patterns: list[slugs.Ignored]) -> bool:
    return slugs.is_ignored(f"{name}/" if member.isdir() else name, patterns)


def _for_container(member: tarfile.TarInfo, name: str, folder: str) -> tarfile.TarInfo:
    clean = tarfile.TarInfo(f"{folder}/{name}")
    clean.type = tarfile.REGTYPE if member.isreg() else member.type
    clean.size = member.size if member.isreg() else 0
    clean.linkname = f"{folder}/{slugs.safe_path(member.linkname)}" if member.islnk() else member.linkname
    # Whatever the pusher's umask was: the build has to read and replace its own files.
    clean.mode = member.mode & 0o777 | (0o700 if member.isdir() else 0o600)
    clean.uid = clean.gid = DYNO
    clean.mtime = EPOCH
    return clean

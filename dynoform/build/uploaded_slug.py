"""A slug that a user made: a tarball with everything in a folder ``app``, looked through as a source is.

https://devcenter.heroku.com/articles/platform-api-deploying-slugs#create-the-slug
"""

import tarfile
from collections.abc import Iterator

from dynoform.build.slug import contents, member_bytes
from dynoform.build.source import Source
from dynoform.domain import slugs
from dynoform.errors import InvalidInputError

_ROOT = "app"


class UploadedSlug(Source):
    """Names are those within ``app``. Nothing is ignored."""

    def stream(self) -> Iterator[bytes]:
        """The files as the engine gives those of a build's ``/app``."""
        root = tarfile.TarInfo(_ROOT)
        root.type, root.mode = tarfile.DIRTYPE, 0o755
        yield member_bytes(root)
        for archive, member, name in self._members():
            if name:
                clean = tarfile.TarInfo(f"{_ROOT}/{name}")
                clean.type = tarfile.REGTYPE if member.isreg() else member.type
                clean.size, clean.mode = (member.size if member.isreg() else 0), member.mode
                clean.linkname = f"{_ROOT}/{member.linkname}" if member.islnk() else member.linkname
                yield member_bytes(clean)
                if member.isreg():
                    yield from contents(archive, member)
        yield b"\0" * (2 * tarfile.BLOCKSIZE)

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str]]:
        for archive, member, name in super()._members():
            if name:  # not the folder that it was packed in
                if member.islnk():
                    member.linkname = _within(slugs.safe_path(member.linkname))
                yield archive, member, _within(name)

    def _check_links(self, member: tarfile.TarInfo, name: str) -> None:
        # A symbolic link of a slug may lead to the stack's files: the dyno follows it, and nobody else.
        super()._check_links(member.replace(linkname=".", deep=False) if member.issym() else member, name)


def _within(name: str) -> str:
    if name == _ROOT:
        return ""
    if not name.startswith(f"{_ROOT}/"):
        why = f"has {name[:80]!r}, which is not in the folder {_ROOT}"
        raise InvalidInputError("slug", why, f"pack it with tar czf slug.tgz ./{_ROOT}")
    return name.removeprefix(f"{_ROOT}/")

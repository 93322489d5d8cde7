"""Which files a COPY takes and where they go, and which a ``.dockerignore`` leaves out.

https://docs.docker.com/reference/dockerfile/#copy, https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from dynoform.domain import globs

IGNORE_FILE = ".dockerignore"
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Rule:
    """A line of a ``.dockerignore``; one with a ``!`` ``includes``."""

    glob: globs.Glob
    includes: bool


def ignore_rules(text: str) -> list[Rule]:
    """The rules of a ``.dockerignore``, in order."""
    lines = [line.strip() for line in text.splitlines()]
    return [
        Rule(globs.parse(posixpath.normpath(line.removeprefix("!").strip())), line.startswith("!"))
        for line in lines
        if line and not line.startswith("#")
    ]


def is_ignored(path: str, rules: Iterable[Rule]) -> bool:
    """Whether the last rule that knows a path, or a folder that it is in, leaves it out."""
    parts, ignored = path.split("/"), False
    for rule in rules:
        if rule.glob.shortest(parts) is not None:
            ignored = not rule.includes
    return ignored


def prefix(source: str) -> str:
    """The folders of a source before its first wildcard; empty for the root."""
    parts = source.split("/")
    plain = [index for index, part in enumerate(parts) if _WILD.search(part)]
    return "/".join(parts[: plain[0]]) if plain else source


def is_wild(source: str) -> bool:
    """Whether a source has wildcards."""
    return _WILD.search(source) is not None


@dataclass
class Selection:
    """Files below a root that ``sources`` name, on their way to ``place``, an absolute path.

    ``into``: that is a folder, and a file keeps its name in it; else it is a file's new name. Of a folder the contents
    go.
    """

    sources: Sequence[str]
    place: str
    into: bool
    found: bool = False
    """Whether there was any."""

    @cached_property
    def _globs(self) -> list[globs.Glob]:
        return [globs.parse(clean_source(source).replace("**", "*")) for source in self.sources]

    def target(self, path: str, *, is_folder: bool) -> str | None:
        """Where ``path`` goes; None when it stays."""
        parts = path.split("/") if path else []
        for glob in self._globs:
            depth = len(glob.parts)
            if len(parts) < depth or not glob.matches(parts[:depth]):
                continue
            self.found = True
            if len(parts) > depth:
                return posixpath.join(self.place, *parts[depth:])
            return posixpath.join(self.place, parts[-1]) if self.into and not is_folder else self.place
        return None


def clean_source(source: str) -> str:
    """A source as a path below the root, which it cannot leave; empty for the root itself."""
    path = posixpath.normpath(f"/{source}").lstrip("/")
    return "" if path == "." else path


def destination(working: str, path: str) -> str:
    """Where a path of a COPY or a WORKDIR leads, absolute and without a slash at its end."""
    return posixpath.normpath(posixpath.join("/", working, path)).replace("//", "/")

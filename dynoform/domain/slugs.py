"""Rules of sources and slugs: which files go in, and what a build says it made."""

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynoform.domain import globs
from dynoform.domain.process_types import check_name
from dynoform.errors import InvalidInputError

BYTES = 1024 * 1024 * 1024
"""Largest slug, compressed (https://devcenter.heroku.com/articles/slug-compiler#slug-size)."""
FILES = 500_000
"""Most files, folders and links of a slug: each takes an inode of every host that runs it."""
PROCESS_TYPES = 100
"""Most process types of a slug that a user makes."""
COMMAND_CHARACTERS = 4000
_CHECKSUM = re.compile(r"SHA256:[0-9a-f]{64}")
IGNORE_FILE = ".slugignore"
RUNTIMES, DEPENDENCIES, OWN = range(3)
"""The parts of a slug, each a layer: the lowest is what changes least."""
_RUNTIMES = frozenset({".apt", ".heroku", ".jdk"})
_DEPENDENCIES = frozenset({".m2", "vendor"})
_DEPENDENCIES_BELOW = (".heroku/python", ".yarn/cache", "target/dependency")
ALWAYS_IGNORED = ("/.git/",)


@dataclass(frozen=True)
class Ignored:
    """A pattern of a ``.slugignore``."""

    glob: globs.Glob
    folders_only: bool


def ignore_patterns(text: str) -> list[Ignored]:
    """The patterns of a ``.slugignore``: like ``.gitignore``, without ``!`` patterns, and Git's own folder always.

    https://devcenter.heroku.com/articles/slug-compiler#ignoring-files-with-slugignore
    """
    lines = [line.strip() for line in text.splitlines()]
    wanted = [line for line in lines if line and line[0] not in "#!"]
    return [
        Ignored(globs.parse(line, floating="/" not in line.rstrip("/")), line.endswith("/"))
        for line in (*ALWAYS_IGNORED, *wanted)
    ]


def is_ignored(path: str, patterns: Iterable[Ignored]) -> bool:
    """Does a pattern match this path, or a folder that it is in? Paths are relative to the app's root.

    Those of folders end with ``/``.
    """
    parts = path.removesuffix("/").split("/")
    for pattern in patterns:
        count = pattern.glob.shortest(parts)
        if count is not None and (count < len(parts) or path.endswith("/") or not pattern.folders_only):
            return True
    return False


def safe_path(name: str) -> str:
    """A tar member's path relative to the app's root; empty for the root itself.

    Raises ``InvalidInputError`` when it leads out of the root or would garble a listing.
    """
    if name.startswith("/") or ".." in name.split("/") or any(ord(character) < 32 for character in name):
        raise InvalidInputError("source", f"has a file named {name[:80]!r}", "pack it from within the app's folder")
    path = posixpath.normpath(name)
    return "" if path == "." else path


def part(path: str) -> int:
    """The part of a slug that a file belongs to, by its path in the app's folder and by nothing else.

    ``RUNTIMES`` is what buildpacks bring, ours and Heroku's; ``DEPENDENCIES`` what an app's lock file names, where the
    languages' tools put it; ``OWN`` is all that may change with every push.
    """
    folders = path.split("/")
    if folders[0] in _DEPENDENCIES or "node_modules" in folders:
        return DEPENDENCIES
    if any(path == folder or path.startswith(f"{folder}/") for folder in _DEPENDENCIES_BELOW):
        return DEPENDENCIES
    return RUNTIMES if folders[0] in _RUNTIMES else OWN


def check_link(path: str, target: str) -> None:
    """Raise ``InvalidInputError`` when the symbolic link at ``path`` points out of the app's root."""
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith("/") or reached == ".." or reached.startswith("../"):
        raise InvalidInputError("source", f"link {path[:80]!r} points out of the app's folder", "remove the link")


def check_process_types(given: Mapping[str, str]) -> dict[str, str]:
    """Process type → command as a user declares them; ``InvalidInputError`` for a name or a command that cannot be."""
    for name, command in given.items():
        check_name(name)
        if not command.strip() or "\0" in command or len(command) > COMMAND_CHARACTERS:
            raise InvalidInputError(
                f"process type {name}", f"needs a command of 1 to {COMMAND_CHARACTERS} characters", "give it one"
            )
    return dict(given)


def check_checksum(text: str) -> str:
    """A slug's checksum as Heroku writes it. Raises ``InvalidInputError`` for another form."""
    prefix, _, digest = text.strip().partition(":")
    checksum = f"{prefix.upper()}:{digest.lower()}"
    if not _CHECKSUM.fullmatch(checksum):
        raise InvalidInputError("checksum must be SHA256: and the 64 hexadecimal digits of the tarball's SHA-256.")
    return checksum


def compare(expected: str, found: str) -> None:
    """Raise ``InvalidInputError`` when an upload is not what was announced; ``expected`` may be empty."""
    if expected and expected != found:
        raise InvalidInputError(f"The slug has the checksum {found}, not {expected}. Upload the right one.")


@dataclass(frozen=True)
class Result:
    """What the build driver left behind. ``process_types`` are the buildpacks' defaults: type → command.

    ``procfile`` is the text of the app's own after the build.
    """

    failure: str | None
    buildpacks: Sequence[str]
    process_types: Mapping[str, str]
    procfile: str = ""


def read_result(text: str) -> Result:
    """Check the driver's ``result.json``: the app's own code ran beside it, so nothing in it is taken on trust.

    Raises ``InvalidInputError`` when it has another shape.
    """
    try:
        answer: Any = json.loads(text)
        failure = answer.get("failure")
        types = {check_name(str(name)): str(command) for name, command in answer.get("process_types", {}).items()}
        buildpacks = [str(name)[:200] for name in answer.get("buildpacks", [])]
        procfile = str(answer.get("procfile", ""))
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise InvalidInputError("build", "left no readable result", "push again") from None
    return Result(" ".join(str(failure).split())[:200] if failure else None, buildpacks, types, procfile)


def process_types(declared: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Process type → command of a slug: the Procfile's, and the buildpacks' defaults for types that it leaves out."""
    return {**defaults, **declared}


def discovery(declared: Mapping[str, str], defaults: Mapping[str, str], buildpacks: Sequence[str]) -> str:
    """What a pusher reads about the process types, as Heroku prints it, below the build's last heading."""
    lines = [f"       Procfile declares types -> {', '.join(declared) or '(none)'}"]
    added = [name for name in defaults if name not in declared]
    if added:
        lines.append(f"       Default types for {', '.join(buildpacks)} -> {', '.join(added)}")
    return "\n".join(lines) + "\n"

"""Dockerfiles: the stages and instructions of one, as far as the platform builds them.

https://docs.docker.com/reference/dockerfile/. What is not built is refused here, with its line.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dynoform.errors import InvalidInputError

CHARACTERS = 256 * 1024
"""Longest Dockerfile."""
SCRATCH = "scratch"
"""The base that has nothing in it."""
_KNOWN = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
LEFT_OUT = {
    "HEALTHCHECK": "the platform looks after dynos itself",
    "MAINTAINER": "use LABEL",
    "ONBUILD": "nothing is built from an app's image",
    "STOPSIGNAL": "dynos get SIGTERM",
    "VOLUME": "a dyno's disk is its own, and gone with it",
}
"""Instructions that change nothing here, and why."""
_FLAGS = {
    "ADD": ("chown", "chmod"),
    "COPY": ("from", "chown", "chmod", "link"),
    "FROM": ("platform",),
    "RUN": ("mount",),
}
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?\s+")
_FROM = re.compile(r"(\S+)(?:\s+[Aa][Ss]\s+([a-z][a-z0-9-_.]*))?")
_DOCUMENT = re.compile(r"<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\2")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction. ``text`` is what follows its name and flags, continued lines joined, nothing expanded."""

    path: str
    line: int
    name: str
    text: str
    flags: dict[str, str] = field(default_factory=dict)
    script: str | None = None
    """What a RUN has in a here-document, when that is all it has."""

    @property
    def shown(self) -> str:
        """The instruction in one line, as a pusher sees it."""
        flags = (f"--{name}={value}" if value else f"--{name}" for name, value in self.flags.items())
        return " ".join([self.name, *flags, *self.text.split()])[:200]

    @property
    def listed(self) -> list[str] | None:
        """The words of the JSON form, ``["a", "b"]``; None for the other form."""
        if not self.text.startswith("["):
            return None
        try:
            found: Any = json.loads(self.text)
        except (ValueError, RecursionError):
            return None  # as Docker has it: then it is for the shell
        return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None

    def wrong(self, why: str, next_step: str = "mend it and push again") -> InvalidInputError:
        """The error that names this instruction."""
        return InvalidInputError(f"{self.path} line {self.line}: {self.shown[:80]}", why, next_step)


@dataclass(frozen=True)
class Stage:
    """A FROM and what follows it. ``base`` is not expanded yet."""

    begin: Instruction
    base: str
    name: str | None
    instructions: Sequence[Instruction]


@dataclass(frozen=True)
class Dockerfile:
    """``arguments`` are the ARGs before the first FROM."""

    path: str
    arguments: Sequence[Instruction]
    stages: Sequence[Stage]

    def stage(self, reference: str) -> int | None:
        """The number of the stage that a name or a number means; None for neither. Of equal names the last counts."""
        names = [stage.name for stage in self.stages]
        if reference.lower() in names:
            return len(names) - 1 - names[::-1].index(reference.lower())
        return int(reference) if reference.isdecimal() and int(reference) < len(names) else None


def parse(path: str, text: str) -> Dockerfile:
    """Read the Dockerfile at ``path``, which is for messages.

    Raises ``InvalidInputError`` naming the line: not an instruction, not in its place, or not built here.
    """
    if len(text) > CHARACTERS:
        raise InvalidInputError(path, f"is longer than {CHARACTERS // 1024} KiB", "shorten it")
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    inside: list[Instruction] = []
    for found in _instructions(path, text):
        if found.name == "FROM":
            inside = []
            stages.append(_stage(found, inside))
        elif stages:
            inside.append(found)
        elif found.name == "ARG":
            arguments.append(found)
        else:
            raise found.wrong("comes before the first FROM", "begin with FROM")
    if not stages:
        raise InvalidInputError(path, "has no FROM", "begin with FROM and the image to start from")
    return Dockerfile(path, arguments, stages)


def _stage(begin: Instruction, inside: list[Instruction]) -> Stage:
    match = _FROM.fullmatch(begin.text)
    if match is None:
        raise begin.wrong("is not FROM image, or FROM image AS name")
    return Stage(begin, match[1], match[2], inside)


def _instructions(path: str, text: str) -> Iterator[Instruction]:
    lines = text.removeprefix("\ufeff").splitlines()
    _check_escape(path, lines)
    number = 0
    while number < len(lines):
        first = number + 1
        words, number = _joined(lines, number)
        if words:
            found = _instruction(path, first, words)
            found, number = _with_documents(found, lines, number)
            yield found


def _check_escape(path: str, lines: Sequence[str]) -> None:
    for line in lines:
        if not line.strip().startswith("#"):
            return
        match = _ESCAPE.fullmatch(line.strip())
        if match and match[1] != "\\":
            raise InvalidInputError(path, "has another escape character than \\", "leave that line out")


def _joined(lines: Sequence[str], number: int) -> tuple[str, int]:
    """The text of the lines from ``number`` on that are one instruction, and the number of the line after it."""
    parts: list[str] = []
    while number < len(lines):
        line = lines[number]
        number += 1
        stripped = line.strip()
        if stripped.startswith("#") or (parts and not stripped):
            continue  # comments and empty lines may be among continued ones
        goes_on = stripped.endswith("\\")
        parts.append(line.rstrip().removesuffix("\\") if goes_on else line)
        if not goes_on:
            break
    return "".join(parts).strip(), number


def _instruction(path: str, line: int, words: str) -> Instruction:
    name, _, text = words.partition(" ") if " " in words else words.partition("\t")
    found = Instruction(path, line, name.upper(), text.strip())
    if found.name not in _KNOWN:
        raise found.wrong(f"{name[:20]} is not an instruction")
    if not found.text:
        raise found.wrong("has nothing after its name")
    return _with_flags(found) if found.name in _FLAGS else found


def _with_flags(found: Instruction) -> Instruction:
    flags: dict[str, str] = {}
    text = found.text
    while match := _FLAG.match(text):
        name, value = match[1], match[2] or ""
        if name not in _FLAGS[found.name]:
            raise found.wrong(f"--{name} is not built here", "leave it out")
        if name == "mount" and not value.startswith("type=cache,"):
            raise found.wrong("only mounts of type=cache are built here", "copy what is needed with COPY")
        flags[name] = value
        text = text[match.end() :]
    return Instruction(found.path, found.line, found.name, text, flags)


def _with_documents(found: Instruction, lines: Sequence[str], number: int) -> tuple[Instruction, int]:
    documents = list(_DOCUMENT.finditer(found.text)) if found.name in {"RUN", "COPY", "ADD"} else []
    if not documents:
        return found, number
    if found.name != "RUN":
        raise found.wrong("a file cannot be written in the Dockerfile itself here", "put it beside the Dockerfile")
    pieces = [found.text]
    for match in documents:
        body, number = _document(found, match, lines, number)
        pieces += [*body, match[3]]
    text = "\n".join(pieces)
    alone = len(documents) == 1 and documents[0][0] == found.text
    script = "\n".join(pieces[1:-1]) + "\n" if alone else None
    if script is not None and script.startswith("#!"):
        raise found.wrong(
            "a script with an interpreter of its own is not run here", "put it in a file, COPY and RUN it"
        )
    return Instruction(found.path, found.line, found.name, text, found.flags, script), number


def _document(found: Instruction, match: re.Match[str], lines: Sequence[str], number: int) -> tuple[list[str], int]:
    body: list[str] = []
    while number < len(lines):
        line = lines[number].lstrip("\t") if match[1] else lines[number]
        number += 1
        if line == match[3]:
            return body, number
        body.append(line)
    raise found.wrong(f"the document has no end: a line that is {match[3]}")

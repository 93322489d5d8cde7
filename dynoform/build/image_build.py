"""One image from a Dockerfile: each instruction in a container of its own, with the limits that any build has.

Not by the engine's own ``docker build``: that fetches for the user from where the platform is, reads every image of the
host, and holds a build to no number of processes. See docs/adr/0025.
"""

import hashlib
import json
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dynoform.build.container import BuildContainer
from dynoform.build.slug import TAR_END, ByteStream, contents, member_bytes
from dynoform.build.verdict import BuildRejectedError, out_of_memory
from dynoform.build.workbench import Workbench
from dynoform.domain import dockerfile_words, image_files, image_names, image_settings
from dynoform.domain.dockerfile import LEFT_OUT, SCRATCH, Dockerfile, Instruction, Stage
from dynoform.domain.image_files import Selection
from dynoform.domain.image_settings import Settings
from dynoform.domain.images import EPOCH
from dynoform.errors import InvalidInputError, UnavailableError

Members = Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str, str]]
"""Files of an archive, each with its path, and a hard link with the path of what it is linked to."""
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_CHUNK = 256 * 1024


class Context(Protocol):
    """The files that a COPY takes from the app."""

    def members(self) -> Members:
        """All of them, by their paths below the context."""


class Listener(Protocol):
    """Who hears of a build."""

    def say(self, text: str) -> None:
        """Whole lines of the builder's own."""

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """A piece of what a program prints."""


@dataclass(frozen=True)
class Built:
    """An image on the engine, by name, with its settings. ``key`` is the same for what was made in the same way."""

    image: str
    settings: Settings
    key: str


@dataclass(frozen=True)
class _Owner:
    user: int
    group: int


class ImageBuild:
    """The work on one Dockerfile. ``arguments`` are those given for its ARGs; ``check`` raises when it has to end."""

    def __init__(
        self,
        bench: Workbench,
        dockerfile: Dockerfile,
        context: Context,
        arguments: Mapping[str, str],
        listener: Listener,
        check: Callable[[], None],
    ) -> None:
        """Nothing is done before ``build``."""
        self._bench = bench
        self._dockerfile = dockerfile
        self._context = context
        self._arguments = arguments
        self._listener = listener
        self._check = check
        self._built: dict[int, Built] = {}
        self._pulled: dict[str, Built] = {}
        self._globals = self._global_arguments()
        self._step = 0

    def build(self, target: str | None) -> Built:
        """Build the stage ``target``, or the last one, and those that it needs.

        Raises ``InvalidInputError`` with the line that is wrong, ``BuildRejectedError`` for a program that failed.
        """
        last = len(self._dockerfile.stages) - 1 if target is None else self._dockerfile.stage(target)
        if last is None:
            raise InvalidInputError(self._dockerfile.path, f"has no stage {target!r}", "name one of its stages")
        needed = sorted(self._needed(last))
        steps = sum(1 + len(self._dockerfile.stages[number].instructions) for number in needed)
        for number in needed:
            self._built[number] = self._stage(number, steps)
        return self._built[last]

    def _needed(self, last: int) -> set[int]:
        found, waiting = set(), [last]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                stage = self._dockerfile.stages[number]
                references = [self._base(stage), *(each.flags.get("from", "") for each in stage.instructions)]
                earlier = (self._earlier(reference, number) for reference in references)
                waiting += [each for each in earlier if each is not None]
        return found

    def _earlier(self, reference: str, number: int) -> int | None:
        """The stage before ``number`` that a FROM or a COPY means, if it means one."""
        found = self._dockerfile.stage(reference)
        return found if found is not None and found < number else None

    def _base(self, stage: Stage) -> str:
        return dockerfile_words.expand(stage.base, self._globals)

    def _global_arguments(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in self._dockerfile.arguments:
            found |= image_settings.arguments(each, self._arguments, {}, found)
        return found

    def _stage(self, number: int, steps: int) -> Built:
        stage = self._dockerfile.stages[number]
        self._told(stage.begin, steps)
        base = self._start(stage, number)
        work = _StageWork(self._bench, self, base, number)
        for instruction in stage.instructions:
            self._told(instruction, steps)
            work.do(instruction)
            self._check()
        return work.finished()

    def _told(self, instruction: Instruction, steps: int) -> None:
        self._step += 1
        self._listener.say(f"Step {self._step}/{steps} : {instruction.shown}\n")
        if instruction.name in LEFT_OUT:
            self._listener.say(f"       {instruction.name} changes nothing here: {LEFT_OUT[instruction.name]}\n")
        self._check()

    def _start(self, stage: Stage, number: int) -> Built:
        base = self._base(stage)
        earlier = self._earlier(base, number)
        if earlier is not None:
            return self._built[earlier]
        if base == SCRATCH:
            return Built(*self._bench.empty(), SCRATCH)
        return self.fetched(base, stage.begin)

    def fetched(self, reference: str, instruction: Instruction) -> Built:
        """An image from elsewhere, or the stack's. Raises ``InvalidInputError`` naming the instruction."""
        if reference not in self._pulled:
            kind, name = image_names.stack(reference), image_names.parse(reference)
            if name is None:
                raise instruction.wrong(f"{reference[:80]!r} is not the name of an image")
            try:
                found = self._bench.stack_image(kind) if kind else self._bench.pull(name)
            except BuildRejectedError:
                raise
            except InvalidInputError as error:
                self._check()
                raise instruction.wrong(f"{error.what}: {error.why}", error.next_step) from error
            self._pulled[reference] = Built(*found, self._bench.identity(found[0]))
        return self._pulled[reference]

    def source(self, reference: str, instruction: Instruction, number: int) -> Built:
        """The image that a COPY takes files from."""
        earlier = self._earlier(reference, number)
        return self._built[earlier] if earlier is not None else self.fetched(reference, instruction)

    def kept(self, key: str) -> str | None:
        """The image that an earlier build has made in this way."""
        found = self._bench.kept(key)
        if found is not None:
            self._listener.say("       As in the last build: taken from there\n")
        return found

    def run(self, image: str, instruction: Instruction, settings: Settings, arguments: Mapping[str, str]) -> str:
        """Run a RUN's program to its end; the image that comes of it."""
        running = self._running(image, settings.words(instruction), settings, arguments)
        try:
            for piece in running.output():
                self._listener.feed(piece)
            self._listener.feed(b"", final=True)
            code, is_out_of_memory = running.wait()
            self._check()
            if is_out_of_memory and code:
                raise out_of_memory()
            if code:
                raise BuildRejectedError(
                    f"the RUN in line {instruction.line} of {self._dockerfile.path} ended with code {code}"
                )
            return self._bench.commit(running.identifier)
        finally:
            running.remove()

    def _running(
        self, image: str, words: Sequence[str], settings: Settings, arguments: Mapping[str, str]
    ) -> BuildContainer:
        try:
            return self._bench.run(image, list(words), settings, arguments)
        except UnavailableError:
            self._check()  # it may have been told to end
            raise

    @property
    def globals(self) -> Mapping[str, str]:
        """What the ARGs before the first FROM say."""
        return self._globals

    @property
    def arguments(self) -> Mapping[str, str]:
        """What was given for ARGs."""
        return self._arguments

    @property
    def context(self) -> Context:
        """The app's files."""
        return self._context


class _StageWork:
    """A stage while it is built: the image so far, and a container of it that files are copied into."""

    def __init__(self, bench: Workbench, build: ImageBuild, base: Built, number: int) -> None:
        self._bench = bench
        self._build = build
        self._number = number
        self._image = base.image
        self._key = base.key
        self._settings = base.settings.copy()
        self._declared: dict[str, str] = {}
        self._open: str | None = None

    def do(self, instruction: Instruction) -> None:
        if instruction.name == "ARG":
            given, known = self._build.arguments, self._build.globals
            self._declared |= image_settings.arguments(instruction, given, known, self._variables)
        elif instruction.name == "RUN":
            self._run(instruction)
        elif instruction.name in {"COPY", "ADD"}:
            self._copy(instruction)
        elif self._settings.apply(instruction, self._variables) and instruction.name == "WORKDIR":
            self._make_folder(instruction)

    def finished(self) -> Built:
        return Built(self._closed(), self._settings, self._key)

    @property
    def _variables(self) -> dict[str, str]:
        return {**self._declared, **self._settings.environment}

    def _opened(self) -> str:
        if self._open is None:
            self._open = self._bench.create(self._image)
        return self._open

    def _closed(self) -> str:
        """The image with all that was copied."""
        if self._open is not None:
            self._image, self._open = self._bench.commit(self._open), None
        return self._image

    def _run(self, instruction: Instruction) -> None:
        """Run it, unless an earlier build has done the same on the same: then what came of it is there."""
        settings = self._settings
        place = [settings.user, settings.folder, self._variables]
        self._key = _chained(self._key, json.dumps([settings.words(instruction), place], sort_keys=True).encode())
        if (kept := self._build.kept(self._key)) is not None:
            self._image, self._open = kept, None  # what was copied is in it; the container goes with the build
            return
        try:
            self._image = self._build.run(self._closed(), instruction, self._settings, self._declared)
            self._bench.keep(self._key, self._image)
        except BuildRejectedError:
            raise
        except InvalidInputError as error:
            raise instruction.wrong(f"{error.what} {error.why}", "install it first, or name another") from error

    def _make_folder(self, instruction: Instruction) -> None:
        found = self._bench.find(self._opened(), self._settings.folder)
        if found is None:
            self._put([_folder(self._settings.folder)], instruction)
        elif not found.is_folder and found.link is None:
            raise instruction.wrong(f"{self._settings.folder} is not a folder")

    def _copy(self, instruction: Instruction) -> None:
        words = instruction.listed
        if words is None:
            words = dockerfile_words.split(instruction.text, self._variables)
        else:
            words = [dockerfile_words.expand(word, self._variables) for word in words]
        if len(words) < 2:
            raise instruction.wrong("needs what to copy and where to", f"write {instruction.name} file /app/")
        *sources, to = words
        if instruction.name == "ADD" and any("://" in source or source.startswith("git@") for source in sources):
            raise instruction.wrong("fetches nothing here", "fetch it with RUN, from within the build")
        if instruction.name == "ADD" and len(sources) == 1 and sources[0].endswith(_ARCHIVES):
            self._unpack(instruction, sources[0], to)
        else:
            self._copy_files(instruction, sources, to)

    def _copy_files(self, instruction: Instruction, sources: Sequence[str], to: str) -> None:
        place = image_files.destination(self._settings.folder, to)
        found = self._bench.find(self._opened(), place)
        into = to.endswith(("/", "/.")) or to == "." or len(sources) > 1 or (found is not None and found.is_folder)
        owner, mode = self._owner(instruction), self._mode(instruction)
        for source in sources:
            selection = Selection((source,), place, into=into or image_files.is_wild(source))
            if (origin := instruction.flags.get("from")) is None:
                members = self._build.context.members()
            else:
                image = self._build.source(dockerfile_words.expand(origin, self._variables), instruction, self._number)
                members = self._members_of(image.image, source, instruction)
            self._put(_packed(members, selection, owner, mode, has_place=found is not None), instruction)
            if not selection.found:
                raise instruction.wrong(f"{source[:80]} is not there", "look at its name, and at .dockerignore")

    def _unpack(self, instruction: Instruction, source: str, to: str) -> None:
        selection = Selection((source,), "/", into=True)
        place = image_files.destination(self._settings.folder, to)
        if self._bench.find(self._opened(), place) is None:
            self._put([_folder(place)], instruction)
        for archive, member, path, _ in self._build.context.members():
            if member.isreg() and selection.target(path, is_folder=False):
                self._put(_read(archive, member), instruction, place, ended=True)
                return
        raise instruction.wrong(f"{source[:80]} is not there", "look at its name, and at .dockerignore")

    def _put(self, data: Iterable[bytes], instruction: Instruction, folder: str = "/", *, ended: bool = False) -> None:
        digest = hashlib.sha256(folder.encode())
        pieces = iter(data) if ended else _ended(data)
        problem = self._bench.put(self._opened(), folder, _noted(pieces, digest.update))
        if problem is not None:
            raise instruction.wrong(f"cannot be copied ({problem})")
        self._key = _chained(self._key, digest.digest())

    def _members_of(self, image: str, source: str, instruction: Instruction) -> Members:
        """The files of an image at or below a source, by their paths from the image's root."""
        above = image_files.prefix(image_files.clean_source(source))
        identifier = self._bench.reader(image)
        found = self._bench.find(identifier, f"/{above}")
        if found is None:
            raise instruction.wrong(f"{source[:80]} is not there", "look at its name")
        stream = self._bench.get(identifier, found.link or f"/{above}")
        with tarfile.open(fileobj=ByteStream(stream), mode="r|", bufsize=_CHUNK) as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # it would remember all of them
                # The engine packs a folder with its own name in front.
                yield archive, member, _below(above, member.name), _below(above, member.linkname)

    def _owner(self, instruction: Instruction) -> _Owner:
        wanted = dockerfile_words.expand(instruction.flags.get("chown", "0:0"), self._variables)
        user, _, group = wanted.partition(":")
        people = self._entries("/etc/passwd") if not user.isdecimal() else {}
        groups = self._entries("/etc/group") if group and not group.isdecimal() else {}
        try:
            number = int(user) if user.isdecimal() else int(people[user][2])
            default = number if user.isdecimal() else int(people[user][3])
            return _Owner(number, int(groups[group][2]) if groups else int(group or default))
        except (KeyError, IndexError, ValueError):
            raise instruction.wrong(f"the image has no user or group {wanted[:80]!r}") from None

    def _entries(self, path: str) -> dict[str, list[str]]:
        try:
            with tarfile.open(fileobj=ByteStream(self._bench.get(self._opened(), path)), mode="r|") as archive:
                member = archive.next()
                file = archive.extractfile(member) if member and member.isreg() else None
                text = file.read(_CHUNK).decode(errors="replace") if file else ""
        except FileNotFoundError:
            return {}
        return {line.split(":")[0]: line.split(":") for line in text.splitlines()}

    def _mode(self, instruction: Instruction) -> int | None:
        wanted = instruction.flags.get("chmod")
        if wanted is None:
            return None
        try:
            return int(wanted, 8) & 0o7777
        except ValueError:
            raise instruction.wrong(f"{wanted[:20]!r} is not a mode", "write one like --chmod=755") from None


def _packed(
    members: Members, selection: Selection, owner: _Owner, mode: int | None, *, has_place: bool
) -> Iterator[bytes]:
    """The selected members of a tar as those of another, below the root."""
    for archive, member, path, linked_path in members:
        target = selection.target(path, is_folder=member.isdir())
        if target is None or (has_place and target == selection.place and member.isdir()):
            continue
        clean = tarfile.TarInfo(target.lstrip("/"))
        clean.type = tarfile.REGTYPE if member.isreg() else member.type
        clean.size = member.size if member.isreg() else 0
        clean.mode = member.mode & 0o7777 if mode is None or member.isdir() else mode
        clean.uid, clean.gid, clean.mtime = owner.user, owner.group, EPOCH
        clean.linkname = member.linkname if member.issym() else ""
        if member.islnk():
            linked = selection.target(linked_path, is_folder=False)
            if linked is None:
                raise InvalidInputError("source", f"{path[:80]!r} is a hard link to what is not copied", "copy both")
            clean.linkname = linked.lstrip("/")
        yield member_bytes(clean)
        if member.isreg():
            yield from contents(archive, member)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = archive.extractfile(member)
    while file and (data := file.read(_CHUNK)):
        yield data


def _below(above: str, name: str) -> str:
    """The path from an image's root of a member of the tar of ``above``."""
    rest = name.strip("/").partition("/")[2] if above else name.strip("/").removeprefix("./")
    return posixpath.join(above, rest).rstrip("/")


def _folder(path: str) -> bytes:
    made = tarfile.TarInfo(path.lstrip("/"))
    made.type, made.mode, made.mtime = tarfile.DIRTYPE, 0o755, EPOCH
    return member_bytes(made)


def _chained(key: str, data: bytes) -> str:
    """The key of what comes of one with this key, by something that ``data`` describes."""
    return hashlib.sha256(key.encode() + b"\0" + data).hexdigest()


def _noted(data: Iterable[bytes], note: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in data:
        note(piece)
        yield piece


def _ended(data: Iterable[bytes]) -> Iterator[bytes]:
    yield from data
    yield TAR_END

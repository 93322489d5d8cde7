"""What a Dockerfile comes to, on a workbench in memory: which stages, files, variables and words."""

import io
import itertools
import posixpath
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from dynoform.build.image_build import Built, ImageBuild
from dynoform.build.source import Source, SourceContext
from dynoform.build.verdict import BuildRejectedError
from dynoform.build.workbench import Found, Workbench
from dynoform.domain import dockerfile, image_files
from dynoform.domain.image_names import ImageName
from dynoform.domain.image_settings import Settings
from dynoform.errors import InvalidInputError

Files = dict[str, tarfile.TarInfo]
SOURCE = {
    "Dockerfile": "",
    "a.txt": "a",
    "page/b.html": "b",
    "page/c.html": "c",
    "node_modules/x.js": "x",
    ".dockerignore": "node_modules\n",
}


@dataclass
class Ran:
    """A program that has ended."""

    identifier: str
    code: int

    def output(self) -> Iterator[bytes]:
        yield b"it ran\n"

    def wait(self) -> tuple[int, bool]:
        return self.code, False

    def remove(self) -> None:
        pass


@dataclass
class Bench:
    """Images and containers as the files in them."""

    places: dict[str, Files] = field(
        default_factory=lambda: {"run-image": {"etc/passwd": tarfile.TarInfo("etc/passwd")}}
    )
    ran: list[tuple[list[str], str, str, dict[str, str]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    keeps: dict[str, str] = field(default_factory=dict)

    def stack_image(self, kind: str) -> tuple[str, Settings]:
        return f"{kind}-image", Settings(user="dyno", folder="/app")

    def empty(self) -> tuple[str, Settings]:
        self.places["empty"] = {}
        return "empty", Settings()

    def pull(self, name: ImageName) -> tuple[str, Settings]:
        raise InvalidInputError(f"image {name.full}", "cannot be had (as an example)", "take another")

    def create(self, image: str) -> str:
        identifier = f"container {next(self.numbers)}"
        self.places[identifier] = dict(self.places[image])
        return identifier

    reader = create

    def run(self, image: str, words: list[str], settings: Settings, arguments: Mapping[str, str]) -> Ran:
        self.ran.append((words, settings.user, settings.folder, {**arguments, **settings.environment}))
        return Ran(self.create(image), 3 if "fail" in words[-1] else 0)

    def commit(self, identifier: str) -> str:
        return identifier

    def identity(self, image: str) -> str:
        return f"id of {image}"

    def kept(self, key: str) -> str | None:
        return self.keeps.get(key)

    def keep(self, key: str, image: str) -> None:
        self.keeps[key] = image

    def find(self, identifier: str, path: str) -> Found | None:
        name = path.lstrip("/")
        found = self.places[identifier].get(name)
        if found is not None:
            return Found(found.isdir(), None)
        below = any(each.startswith(f"{name}/") for each in self.places[identifier]) or not name
        return Found(is_folder=True, link=None) if below else None

    def put(self, identifier: str, folder: str, data: Iterable[bytes]) -> str | None:
        with tarfile.open(fileobj=io.BytesIO(b"".join(data))) as archive:
            for member in archive:
                self.places[identifier][posixpath.join(folder, member.name).strip("/")] = member
        return None

    def get(self, identifier: str, path: str) -> Iterator[bytes]:
        name, out = path.strip("/"), io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for each, member in self.places[identifier].items():
                if each == name or each.startswith(f"{name}/"):
                    copy = tarfile.TarInfo(f"{posixpath.basename(name)}{each.removeprefix(name)}")
                    copy.type, copy.mode, copy.uid = member.type, member.mode, member.uid
                    archive.addfile(copy)
        return iter([out.getvalue()])


class Said:
    """Keeps what a build says."""

    def __init__(self) -> None:
        self.text = ""

    def say(self, text: str) -> None:
        self.text += text

    def feed(self, data: bytes, *, final: bool = False) -> None:
        self.text += data.decode()


@dataclass
class Workshop:
    """Builds texts of Dockerfiles."""

    folder: Path
    bench: Bench = field(default_factory=Bench)
    said: Said = field(default_factory=Said)

    def build(self, text: str, target: str | None = None, context: str = "", **arguments: str) -> Built:
        path = self.folder / "source.tar"
        with tarfile.open(path, "w") as archive:
            for name, content in SOURCE.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o4755
                archive.addfile(member, io.BytesIO(content.encode()))
        rules = image_files.ignore_rules(SOURCE[".dockerignore"])
        files = SourceContext(Source.inspect(path), context, rules)
        parsed = dockerfile.parse("Dockerfile", text)
        work = ImageBuild(cast(Workbench, self.bench), parsed, files, arguments, self.said, lambda: None)
        return work.build(target)

    def files(self, built: Built) -> list[str]:
        return sorted(name for name, member in self.bench.places[built.image].items() if member.isreg())


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_only_the_stages_that_are_needed_are_built_in_their_order(workshop: Workshop) -> None:
    text = "FROM dynoform-13 AS one\nRUN one\nFROM node AS two\nRUN two\nFROM one AS three\nRUN three\n"
    text += "FROM dynoform-13\nCOPY --from=three /etc /etc\nFROM scratch\n"
    workshop.build(text, "3")
    assert [words[-1] for words, *_ in workshop.bench.ran] == ["one", "three"]
    assert "Step 1/6 : FROM dynoform-13 AS one\nStep 2/6 : RUN one\nit ran\n" in workshop.said.text
    assert workshop.files(workshop.build(text)) == []


def test_arguments_are_of_their_stage_and_variables_of_the_image(workshop: Workshop) -> None:
    text = "ARG BASE=dynoform-13 VERSION=1\nFROM $BASE AS one\nARG VERSION OTHER=2 GIVEN=3\nENV SEEN=$VERSION$GIVEN\n"
    text += "RUN a\nUSER root\nWORKDIR x\nRUN b\nFROM one\nRUN c\n"
    built = workshop.build(text, GIVEN="4", UNDECLARED="5")
    (a, a_user, a_folder, a_variables), (_, b_user, b_folder, _), (_, _, _, c_variables) = workshop.bench.ran
    assert (a, a_user, a_folder, b_user, b_folder) == (["/bin/sh", "-c", "a"], "dyno", "/app", "root", "/app/x")
    path = Settings().environment
    assert a_variables == {**path, "VERSION": "1", "OTHER": "2", "GIVEN": "4", "SEEN": "14"}
    assert c_variables == {**path, "SEEN": "14"} == built.settings.environment


@pytest.mark.parametrize(
    ("copy", "files"),
    [
        ("COPY . /srv/", ["srv/.dockerignore", "srv/Dockerfile", "srv/a.txt", "srv/page/b.html", "srv/page/c.html"]),
        ("COPY page /srv", ["srv/b.html", "srv/c.html"]),
        ("COPY a.txt /srv", ["srv"]),
        ("COPY a.txt page/b.html /srv/", ["srv/a.txt", "srv/b.html"]),
        ('COPY ["page/*.html", "."]', ["app/b.html", "app/c.html"]),
        ("ARG WHERE=srv\nCOPY a.txt /$WHERE/$WHERE.txt", ["srv/srv.txt"]),
        ("WORKDIR /srv\nCOPY a.txt /srv", ["srv/a.txt"]),
        ("ADD a.txt x/", ["app/x/a.txt"]),
    ],
)
def test_files_are_copied_where_they_shall_be(workshop: Workshop, copy: str, files: list[str]) -> None:
    built = workshop.build(f"FROM dynoform-13\n{copy}")
    assert [name for name in workshop.files(built) if name != "etc/passwd"] == files


def test_a_context_is_a_folder_of_the_source(workshop: Workshop) -> None:
    assert workshop.files(workshop.build("FROM scratch\nCOPY . /\n", context="page")) == ["b.html", "c.html"]


def test_copied_files_have_an_owner_and_a_mode_and_no_special_bits(workshop: Workshop) -> None:
    built = workshop.build("FROM scratch\nCOPY a.txt /plain\nCOPY --chown=7 --chmod=600 a.txt /other\n")
    found = {name: (each.uid, each.gid, each.mode) for name, each in workshop.bench.places[built.image].items()}
    assert found == {"plain": (0, 0, 0o755), "other": (7, 7, 0o600)}


def test_files_come_from_other_stages(workshop: Workshop) -> None:
    text = "FROM scratch AS one\nCOPY page /made/in\nCOPY a.txt /made/\nFROM scratch\n"
    for copy, files in {
        "COPY --from=one /made /srv": ["srv/a.txt", "srv/in/b.html", "srv/in/c.html"],
        "COPY --from=0 made/a.txt /srv/": ["srv/a.txt"],
        "COPY --from=one /made/in/b.* /srv": ["srv/b.html"],
    }.items():
        assert workshop.files(workshop.build(f"{text}{copy}\n")) == files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "FROM node:20",
            "Dockerfile line 1: FROM node:20: image node:20: cannot be had (as an example) — take",
        ),
        ("FROM scratch\nCOPY nothing /", "Dockerfile line 2: COPY nothing /: nothing is not there"),
        ("FROM scratch\nCOPY node_modules /", "node_modules is not there — look at its name, and at .dockerignore"),
        ("FROM scratch\nCOPY a.txt", "COPY a.txt: needs what to copy and where to — write COPY file /app/"),
        ("FROM scratch\nARG A=https://x\nADD $A /", "ADD $A /: fetches nothing here — fetch it with RUN"),
        ("FROM scratch\nADD git@host:repo /", "fetches nothing here"),
        ("FROM scratch\nCOPY --chown=ann a.txt /", "the image has no user or group 'ann'"),
        ("FROM scratch\nCOPY --chmod=u+x a.txt /", "'u+x' is not a mode — write one like --chmod=755"),
        ("FROM scratch\nCOPY a.txt /file\nWORKDIR /file", "Dockerfile line 3: WORKDIR /file: /file is not a folder"),
        (
            "FROM scratch\nCOPY --from=evil/image /a /",
            "COPY --from=evil/image /a /: image evil/image:latest: cannot",
        ),
        ("FROM $NOTHING", "'' is not the name of an image"),
        ("FROM b AS a\nFROM a AS b", "image b:latest: cannot be had"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(workshop: Workshop, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        workshop.build(text)
    assert message in str(caught.value)


def test_a_target_has_to_be_there(workshop: Workshop) -> None:
    with pytest.raises(InvalidInputError, match="Dockerfile: has no stage 'lean' — name one of its stages"):
        workshop.build("FROM scratch", "lean")


def test_a_run_that_fails_ends_the_build(workshop: Workshop) -> None:
    with pytest.raises(BuildRejectedError, match="the RUN in line 2 of Dockerfile ended with code 3"):
        workshop.build("FROM dynoform-13\nRUN fail\nRUN never")
    assert len(workshop.bench.ran) == 1


def test_what_an_earlier_build_has_run_on_the_same_is_not_run_again(workshop: Workshop) -> None:
    text = "FROM dynoform-13\nCOPY a.txt /srv/\nRUN one\nENV A=1\nRUN two\n"
    first, again = workshop.build(text), workshop.build(text)
    assert [words[-1] for words, *_ in workshop.bench.ran] == ["one", "two"]
    assert workshop.said.text.count("       As in the last build: taken from there\n") == 2
    assert workshop.files(first) == workshop.files(again) and first.settings == again.settings


@pytest.mark.parametrize(
    ("before", "after", "ran"),
    [
        ("RUN two", "RUN other", ["other"]),
        ("ENV A=1", "ENV A=2", ["two"]),
        ("ENV A=1", "USER root", ["two"]),
        ("ENV A=1", "COPY a.txt /more/", ["two"]),
        ("COPY a.txt", "COPY page", ["one", "two"]),
        ("COPY a.txt", "COPY --chmod=600 a.txt", ["one", "two"]),
        ("FROM dynoform-13", "FROM scratch", ["one", "two"]),
        ("/srv/", "/opt/", ["one", "two"]),
    ],
)
def test_what_has_changed_and_all_behind_it_is_run(workshop: Workshop, before: str, after: str, ran: list[str]) -> None:
    text = "FROM dynoform-13\nCOPY a.txt /srv/\nRUN one\nENV A=1\nRUN two\n"
    workshop.build(text)
    workshop.bench.ran.clear()
    workshop.build(text.replace(before, after))
    assert [words[-1] for words, *_ in workshop.bench.ran] == ran


def test_a_run_that_failed_is_tried_again_and_those_before_it_are_not(workshop: Workshop) -> None:
    for _ in range(2):
        with pytest.raises(BuildRejectedError):
            workshop.build("FROM dynoform-13\nRUN one\nRUN fail")
    assert [words[-1] for words, *_ in workshop.bench.ran] == ["one", "fail", "fail"]


def test_a_build_argument_that_is_declared_counts(workshop: Workshop) -> None:
    text = "FROM dynoform-13\nRUN one\nARG VERSION\nRUN two\n"
    for version in "1", "2", "1":
        workshop.build(text, VERSION=version)
    assert [words[-1] for words, *_ in workshop.bench.ran] == ["one", "two", "two"]


def test_the_platform_says_what_it_leaves_out(workshop: Workshop) -> None:
    workshop.build("FROM scratch\nVOLUME /data\nMAINTAINER ann\nCMD run")
    assert "VOLUME changes nothing here: a dyno's disk is its own, and gone with it\n" in workshop.said.text
    assert "MAINTAINER changes nothing here: use LABEL\n" in workshop.said.text


def test_settings_of_a_container_are_plain(workshop: Workshop) -> None:
    config: dict[str, Any] = workshop.build('FROM scratch\nENTRYPOINT ["/run"]\nCMD ["a b"]').settings.as_config()
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["/run"], ["a b"], "")

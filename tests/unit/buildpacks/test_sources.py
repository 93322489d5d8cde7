"""Buildpacks that are fetched: from real Git repositories and a real web server on this machine."""

import functools
import io
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.postgres import free_port
from tests.unit.buildpacks.conftest import Answer, Workshop

pytest.importorskip("yaml")
SCRIPTS = {"bin/detect": "#!/bin/bash\necho Ours\n", "bin/compile": "#!/bin/bash\ncat $(dirname $0)/../word\n"}


class Repository:
    """A buildpack's own, with a branch and commits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.email", "a@example.com")
        self.git("config", "user.name", "A")
        self.git("config", "uploadpack.allowFilter", "true")

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def commit(self, word: str) -> str:
        """A version that prints ``word``; its commit."""
        for name, text in (SCRIPTS | {"word": f"{word}\n"}).items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)  # not executable: whoever made it on Windows forgot
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", word)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """Git's own server; the address that the test's repositories have there."""
    port = free_port()
    options = ["--export-all", f"--base-path={tmp_path}", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr"]
    server = subprocess.Popen(["git", "daemon", *options])
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield f"git://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server that knows what ETags are as far as this needs, and its folder."""

    class Handler(SimpleHTTPRequestHandler):
        def send_head(self) -> io.BytesIO | None:  # type: ignore[override]
            path = Path(self.translate_path(self.path))
            if not path.is_file():
                self.send_error(404)
                return None
            etag = f'"{hash(path.read_bytes())}"'
            same = self.headers.get("If-None-Match") == etag
            self.send_response(304 if same else 200)
            self.send_header("ETag", etag)
            self.end_headers()
            return io.BytesIO(b"" if same else path.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def tarball(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture
def build(workshop: Workshop, buildpacks: Callable[..., Path]) -> Callable[[str], Answer]:
    own = buildpacks(own={"detect": "echo Own", "compile": "true"})

    def run(wanted: str) -> Answer:
        (workshop.folder / "wanted").write_text(f"{wanted}\n")
        return workshop.build(own)

    return run


def test_a_repository_is_fetched_and_each_build_gets_its_newest(
    build: Callable[[str], Answer], repository: Repository, daemon: str
) -> None:
    url, first = f"{daemon}/repository", repository.commit("one")
    answer = build(url)
    assert answer.code == 0, answer.output
    lines = ("Using buildpack: " + url, f"       Fetched commit {first[:12]}", "-----> Ours app detected", "one")
    assert "-----> " + "\n".join(lines) + "\n" in answer.output
    assert answer.result["buildpacks"] == [url]
    repository.commit("two")
    assert "-----> Ours app detected\ntwo\n" in build(url).output


@pytest.mark.parametrize("ref", ["v1", "main~1", "commit", "short"])
def test_a_ref_is_a_branch_a_tag_or_a_commit(
    build: Callable[[str], Answer], repository: Repository, daemon: str, ref: str
) -> None:
    commit = repository.commit("one")
    repository.git("tag", "v1")
    repository.git("branch", "old")
    repository.commit("two")
    wanted = {"commit": commit, "short": commit[:8], "main~1": "old"}.get(ref, ref)
    answer = build(f"{daemon}/repository#{wanted}")
    assert f"#{wanted}\n       Fetched commit {commit[:12]}\n" in answer.output
    assert "app detected\none\n" in answer.output


def test_what_was_fetched_serves_when_nobody_answers_any_more(
    build: Callable[[str], Answer], repository: Repository, daemon: str, workshop: Workshop
) -> None:
    url, _ = f"{daemon}/repository", repository.commit("one")
    build(url)
    repository.folder.rename(repository.folder.with_name("gone"))
    answer = build(url)
    assert answer.code == 0
    assert f" !     {url} cannot be fetched (fatal: " in answer.output
    assert "): using the copy from the last build\n       Fetched commit " in answer.output
    assert "app detected\none\n" in answer.output
    assert len(list((workshop.folder / "cache/buildpacks").iterdir())) == 1
    build("own")
    assert list((workshop.folder / "cache/buildpacks").iterdir()) == []  # no longer used, so no longer kept


@pytest.mark.parametrize("step", ["detect", "compile"])
def test_a_repository_without_a_buildpack_in_it_is_refused(
    build: Callable[[str], Answer], repository: Repository, daemon: str, step: str
) -> None:
    repository.commit("one")
    repository.git("rm", "--quiet", f"bin/{step}")
    repository.git("commit", "--quiet", "--message", "less")
    answer = build(f"{daemon}/repository")
    assert answer.result == {"failure": f"buildpack {daemon}/repository cannot be used"}
    assert f"/repository has no bin/{step}: it is not a classic buildpack\n" in answer.output


def test_what_cannot_be_fetched_is_told_without_the_password_in_its_url(build: Callable[[str], Answer]) -> None:
    answer = build("http://name:secret@127.0.0.1:9/x.git")
    assert answer.result == {"failure": "buildpack http://127.0.0.1:9/x.git cannot be used"}
    assert " !     buildpacks:set: http://127.0.0.1:9/x.git cannot be fetched (fatal: unable to access" in answer.output
    assert "secret" not in answer.output


@pytest.mark.parametrize("folder", ["", "buildpack-1.0/"])
def test_a_tarball_is_fetched_once_and_again_when_it_changes(
    build: Callable[[str], Answer], site: tuple[str, Path], folder: str
) -> None:
    address, files = site
    url = f"{address}/ours.tgz"
    for word in ("one", "two"):
        tarball(
            files / "ours.tgz", {f"{folder}{name}": text for name, text in (SCRIPTS | {"word": f"{word}\n"}).items()}
        )
        for _ in range(2):
            answer = build(url)
            assert f"-----> Using buildpack: {url}\n       Fetched tarball " in answer.output
            assert f"-----> Ours app detected\n{word}\n" in answer.output
    (files / "ours.tgz").write_text("<html>")
    answer = build(url)
    assert " !     " + url + " is not a whole tarball of a buildpack (" in answer.output and answer.code == 0
    (files / "ours.tgz").unlink()
    assert "cannot be fetched (curl: (22) The requested URL returned error: 404): using the copy" in build(url).output


def test_a_tarball_that_leads_out_of_its_folder_is_refused(
    build: Callable[[str], Answer], site: tuple[str, Path], workshop: Workshop
) -> None:
    address, files = site
    tarball(files / "bad.tgz", SCRIPTS | {"../../../../escaped": "x"})
    answer = build(f"{address}/bad.tgz")
    assert answer.result == {"failure": f"buildpack {address}/bad.tgz cannot be used"}
    assert "is not a whole tarball of a buildpack (" in answer.output
    assert not list(workshop.folder.rglob("escaped"))


def test_a_name_that_is_not_ours_is_one_of_herokus_registry(
    workshop: Workshop, buildpacks: Callable[..., Path], site: tuple[str, Path]
) -> None:
    address, files = site
    (files / "them").mkdir()
    tarball(files / "them/cobol.tgz", SCRIPTS | {"word": "one\n"})
    (workshop.folder / "wanted").write_text("them/cobol\n")
    answer = workshop.build(buildpacks(own={"detect": "exit 1"}), DYNOFORM_BUILDPACK_REGISTRY=address)
    assert answer.result["buildpacks"] == ["them/cobol"]
    assert "-----> Using buildpack: them/cobol\n       Fetched tarball " in answer.output


def test_the_list_may_have_ours_and_fetched_ones(
    build: Callable[[str], Answer], repository: Repository, daemon: str
) -> None:
    repository.commit("one")
    answer = build(f"urn:buildpack:heroku/own\n{daemon}/repository#main")
    assert answer.result["buildpacks"] == ["own", f"{daemon}/repository#main"]

"""Sources and builds: upload, queue, output as it comes."""

import gzip
import hashlib
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.api import sources
from dynoform.api.services import Services
from dynoform.build.build_job import BuildJob
from dynoform.build.job import Tools
from dynoform.domain import disk, uploads
from dynoform.domain.jobs import Kind
from dynoform.store import jobs
from dynoform.store.session import BUILD_OUTPUT, JOBS, Store, notify
from dynoform.store.tables import Build, BuildOutput, Job, Source, now
from tests.contract.conftest import path_of

TARBALL = gzip.compress(b"a tarball, or so" * 5000)


@pytest.fixture
def blob(client: httpx.Client, nobody: httpx.Client) -> dict[str, str]:
    """An uploaded source's links; the upload needs no token but the link's."""
    made: dict[str, str] = client.post("/sources").raise_for_status().json()["source_blob"]
    nobody.put(path_of(made["put_url"]), content=TARBALL).raise_for_status()
    return made


@pytest.fixture
def build(client: httpx.Client, app: str, blob: dict[str, str]) -> dict[str, Any]:
    """A queued build."""
    body = {"source_blob": {"url": blob["get_url"], "version": "abc1234def0"}}
    made: dict[str, Any] = client.post(f"/apps/{app}/builds", json=body).raise_for_status().json()
    return made


def test_a_source_is_stored_whole_and_given_back(
    services: Services, nobody: httpx.Client, blob: dict[str, str], store: Store
) -> None:
    with store.transaction() as session:
        source = session.scalars(select(Source)).one()
    assert (source.size, source.checksum) == (len(TARBALL), f"SHA256:{hashlib.sha256(TARBALL).hexdigest()}")
    assert (services.configuration.sources / str(source.id)).read_bytes() == TARBALL
    assert nobody.get(path_of(blob["get_url"])).content == TARBALL
    assert not list(services.configuration.sources.glob("*.part"))


def test_an_upload_that_breaks_off_leaves_nothing(services: Services, client: httpx.Client, address: str) -> None:
    link = client.post("/sources").json()["source_blob"]["put_url"]
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(
            f"PUT {path_of(link)} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n".encode() + b"x" * 1_500_000
        )
        _until(lambda: bool(list(services.configuration.sources.glob("*.part"))))
    _until(lambda: not list(services.configuration.sources.glob("*.part")))
    assert not (services.configuration.sources / link.split("/sources/")[1][:36]).exists()


@pytest.mark.parametrize(
    ("spoil", "status", "message"),
    [
        (lambda link: link[:-3] + "yx"[link[-3] != "x"] + "xx", 403, "link: is not one of ours — ask for a new one"),
        (lambda link: link.partition("?")[0], 403, "link: is not one of ours — ask for a new one"),
        (lambda link: link.replace("/sources/", "/sources/0"), 404, "Couldn't find that source."),
        (lambda link: link + "%00é.é", 403, "link: is not one of ours — ask for a new one"),
    ],
)
def test_only_the_link_permits_an_upload(client: httpx.Client, spoil: Any, status: int, message: str) -> None:
    links = client.post("/sources").json()["source_blob"]
    answer = client.put(spoil(path_of(links["put_url"])), content=b"x")
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    assert client.put(path_of(links["get_url"]), content=b"x").status_code == 403


def test_an_empty_or_huge_upload_is_refused(client: httpx.Client, app: str) -> None:
    links = client.post(f"/apps/{app}/sources").json()["source_blob"]
    assert client.put(path_of(links["put_url"])).status_code == 422
    url = httpx.URL(str(client.base_url))
    with socket.create_connection((url.host, url.port or 80)) as raw:
        head = f"PUT {path_of(links['put_url'])} HTTP/1.1\r\nHost: x\r\nContent-Length: {1024**3 + 1}\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_nearly_full_disk_takes_no_uploads(
    client: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = path_of(client.post("/sources").json()["source_blob"]["put_url"])
    looks = iter([True])  # when it begins
    monkeypatch.setattr(disk, "takes_uploads", lambda *_: next(looks, False))
    answer = client.put(link, content=b"x" * 1024**2)
    message = "The source: the platform's disk is nearly full — tell your operator, then upload it again"
    assert (answer.status_code, answer.json()) == (503, {"id": "unavailable", "message": message})
    assert not list(services.configuration.sources.iterdir())
    monkeypatch.undo()
    client.put(link, content=b"x").raise_for_status()


def test_an_accounts_sources_are_limited_together(
    client: httpx.Client, stranger: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "ACCOUNT_BYTES", 3 * 1024**2)
    first, second = (path_of(client.post("/sources").json()["source_blob"]["put_url"]) for _ in range(2))
    client.put(first, content=b"x" * 2 * 1024**2).raise_for_status()
    client.put(first, content=b"x" * 3 * 1024**2).raise_for_status()  # in its own place
    message = (
        "Your sources are limited to 3 MB together, and 3 MB are kept. One is kept until an hour after its builds, or "
        "for a day: build them or wait, then upload this one again"
    )
    for content in (b"x", iter([b"x"])):  # of a known length, and of an unknown one
        refused = client.put(second, content=content)
        assert (refused.status_code, refused.json()) == (422, {"id": "invalid_params", "message": message})
    assert len(list(services.configuration.sources.iterdir())) == 1
    others = path_of(stranger.post("/sources").json()["source_blob"]["put_url"])
    stranger.put(others, content=b"x").raise_for_status()


def test_what_was_built_is_not_kept_long(
    client: httpx.Client, build: dict[str, Any], services: Services, store: Store
) -> None:
    waiting = path_of(client.post("/sources").json()["source_blob"]["put_url"])
    client.put(waiting, content=b"x").raise_for_status()
    (services.configuration.sources / "half.part").touch()
    assert sources.sweep(services) == 0
    finish(store, build["id"])
    assert sources.sweep(services) == 0, "its links are valid yet, and more may be built of it"
    with store.transaction() as session:
        source_id = session.get_one(Build, uuid.UUID(build["id"])).source_id
        moment = now() - uploads.KEPT_BUILT * 1.1
        session.execute(update(Build).values(updated_at=moment))
        session.execute(update(Source).values(updated_at=moment))
    assert sources.sweep(services) == 1
    assert {path.name for path in services.configuration.sources.iterdir()} == {"half.part", waiting[9:45]}
    assert str(source_id) != waiting[9:45]


def test_a_build_is_queued(client: httpx.Client, app: str, build: dict[str, Any], services: Services) -> None:
    assert (build["status"], build["release"], build["slug"], build["stack"]) == ("pending", None, None, "dynoform-13")
    assert build["source_blob"]["version"] == "abc1234def0"
    assert build["source_blob"]["checksum"].startswith("SHA256:")
    assert build["user"]["email"] == "ann@example.com"
    assert client.get(f"/apps/{app}/builds/{build['id']}").json() == build
    assert client.get(f"/apps/{app}/builds").json() == [build]
    assert "app[api]: Build started by user ann@example.com" in services.logs.lines  # type: ignore[attr-defined]


def test_the_log_says_once_who_started_a_build(
    client: httpx.Client, app: str, blob: dict[str, str], services: Services
) -> None:
    client.patch(f"/apps/{app}", json={"build_stack": "container"}).raise_for_status()
    client.post(f"/apps/{app}/builds", json={"source_blob": {"url": blob["get_url"]}}).raise_for_status()
    claim = jobs.take(services.store, "me", {Kind.BUILD})
    assert claim
    nothing: Any = None  # a build for this stack ends before it needs an engine
    logs: Any = services.logs
    tools = Tools(
        services.configuration,
        services.store,
        services.vault,
        nothing,
        logs,
        services.journal,
    )
    BuildJob(tools, claim).run()
    assert client.get(f"/apps/{app}/builds").json()[0]["status"] == "failed"
    assert [line for line in logs.lines if "Build" in line] == [
        "app[api]: Build started by user ann@example.com",
        "app[api]: Build failed -- check your build output",
    ]


def test_the_builder_is_told(client: httpx.Client, app: str, blob: dict[str, str], store: Store) -> None:
    heard = store.notifications([JOBS], idle=60)
    assert next(heard) is None
    made = client.post(f"/apps/{app}/builds", json={"source_blob": {"url": blob["get_url"]}}).json()
    notification = next(heard)
    assert notification is not None
    assert (notification.channel, notification.payload) == (JOBS, made["id"])
    heard.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Invalid request. source_blob is required."),
        (
            {"source_blob": {"url": "http://example.com/x.tgz"}},
            "source_blob.url must be the get_url of a source of yours",
        ),
        ({"source_blob": {"url": "https://me:secret@example.com/x.tgz"}}, "source_blob.url must be the get_url"),
        ({"source_blob": {"url": "https://example.com/x y.tgz"}}, "source_blob.url must be the get_url"),
        ({"source_blob": {"url": "http://["}}, "source_blob.url must be the get_url of a source of yours"),
        ({"source_blob": {"url": f"/sources/{uuid.UUID(int=1)}"}}, "source_blob.url must be the get_url"),
    ],
)
def test_a_build_of_nothing_is_refused(client: httpx.Client, app: str, body: object, message: str) -> None:
    answer = client.post(f"/apps/{app}/builds", json=body)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (422, message)


def test_a_source_must_be_uploaded_be_ones_own_and_have_its_checksum(
    client: httpx.Client, stranger: httpx.Client, app: str, blob: dict[str, str]
) -> None:
    empty = client.post("/sources").json()["source_blob"]["get_url"]
    answer = client.post(f"/apps/{app}/builds", json={"source_blob": {"url": empty}})
    assert answer.json()["message"].startswith("The source has not been uploaded")
    wrong = {"source_blob": {"url": blob["get_url"], "checksum": "SHA256:00"}}
    assert "upload it again" in client.post(f"/apps/{app}/builds", json=wrong).json()["message"]
    right = {"source_blob": {"url": blob["get_url"], "checksum": hashlib.sha256(TARBALL).hexdigest()}}
    assert client.post(f"/apps/{app}/builds", json=right).status_code == 201
    stranger.post("/apps", json={"name": "theirs"}).raise_for_status()
    stolen = stranger.post("/apps/theirs/builds", json={"source_blob": {"url": blob["get_url"]}})
    assert stolen.json()["message"].startswith("source_blob.url must be the get_url of a source of yours")


def test_a_source_can_be_anywhere_on_the_web(client: httpx.Client, app: str, store: Store) -> None:
    url = "https://example.com/archive/v1.tar.gz?token=x"
    made = client.post(f"/apps/{app}/builds", json={"source_blob": {"url": url, "checksum": "sha256:AB"}}).json()
    assert (made["source_blob"]["url"], made["source_blob"]["checksum"]) == (url, "SHA256:ab")
    with store.transaction() as session:
        assert session.scalars(select(Source.url)).one() == url


def test_a_build_is_cancelled_once(
    client: httpx.Client, nobody: httpx.Client, app: str, build: dict[str, Any], services: Services
) -> None:
    url = f"/apps/{app}/builds/{build['id']}"
    answer = client.delete(url)
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert nobody.get(path_of(build["output_stream_url"])).text == " !     The build was cancelled.\n"
    assert "app[api]: Build cancelled by user ann@example.com" in services.logs.lines  # type: ignore[attr-defined]
    answer = client.delete(url)
    message = "The build has failed: only a pending build can be cancelled"
    assert (answer.status_code, answer.json()["message"]) == (422, message)


def test_the_result_of_a_build_has_its_lines(
    client: httpx.Client, app: str, build: dict[str, Any], store: Store
) -> None:
    url = f"/apps/{app}/builds/{build['id']}/result"
    write(store, build["id"], 0, "-----> Python app detected\n-----> Inst")
    result = client.get(url).json()
    assert (result["exit_code"], result["build"]["status"]) == (None, "pending")
    finish(store, build["id"])
    result = client.get(url).json()
    assert (result["exit_code"], result["build"]["id"]) == (0, build["id"])
    lines = ["-----> Python app detected\n", "-----> InstDone\n"]
    assert result["lines"] == [{"line": line, "stream": "STDOUT"} for line in lines]


def test_a_cache_is_purged_by_a_job(client: httpx.Client, app: str, store: Store) -> None:
    for _ in range(2):
        answer = client.delete(f"/apps/{app}/build-cache")
        assert (answer.status_code, answer.json()) == (202, {})
    with store.transaction() as session:
        assert session.scalars(select(Job.kind)).all() == ["purge-cache"]


def test_a_build_has_its_own_buildpacks_or_the_apps(client: httpx.Client, app: str, blob: dict[str, str]) -> None:
    source = {"source_blob": {"url": blob["get_url"]}}
    assert client.post(f"/apps/{app}/builds", json=source).json()["buildpacks"] == []
    client.put(f"/apps/{app}/buildpack-installations", json={"updates": [{"buildpack": "heroku/python"}]})
    python = {"name": "heroku/python", "url": "urn:buildpack:heroku/python"}
    assert client.post(f"/apps/{app}/builds", json=source).json()["buildpacks"] == [python]
    own = {**source, "buildpacks": [{"url": "https://example.com/x.git"}, {"name": "heroku/nodejs"}]}
    assert [one["name"] for one in client.post(f"/apps/{app}/builds", json=own).json()["buildpacks"]] == [
        "https://example.com/x.git",
        "heroku/nodejs",
    ]
    answer = client.post(f"/apps/{app}/builds", json={**source, "buildpacks": [{}]})
    assert answer.json()["message"].startswith("'' is not a buildpack: use a name like heroku/python")


def test_output_comes_as_it_is_written_until_the_build_has_finished(
    nobody: httpx.Client, build: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynoform.api.output_streams._POLL", 60.0)
    arrived: list[tuple[float, str]] = []
    write(store, build["id"], 0, "-----> Python app detected\n")
    with nobody.stream("GET", path_of(build["output_stream_url"])) as answer:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        pieces = answer.iter_text()
        arrived.append((time.monotonic(), next(pieces)))
        written = time.monotonic()
        write(store, build["id"], 1, "-----> Installing ✓\n")
        arrived.append((time.monotonic(), next(pieces)))
        assert time.monotonic() - written < 20, "it is told; the next look is a minute off"
        threading.Timer(0.1, finish, (store, build["id"])).start()
        assert list(pieces) == ["Done\n"]
    assert [text for _, text in arrived] == ["-----> Python app detected\n", "-----> Installing ✓\n"]
    again = nobody.get(path_of(build["output_stream_url"]))
    assert again.text == "-----> Python app detected\n-----> Installing ✓\nDone\n"


def test_output_ends_when_the_app_is_deleted(client: httpx.Client, app: str, build: dict[str, Any]) -> None:
    with client.stream("GET", path_of(build["output_stream_url"])) as answer:
        deletion = threading.Timer(0.1, lambda: client.delete(f"/apps/{app}"))
        deletion.start()
        assert answer.read() == b""
    deletion.join(60)
    assert client.get(path_of(build["output_stream_url"])).status_code == 404


def test_many_can_follow_while_others_work(
    client: httpx.Client, app: str, build: dict[str, Any], store: Store, services: Services
) -> None:
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(client.get(path_of(build["output_stream_url"])).text))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    try:
        _until(lambda: len(services.wakers._events.get(build["id"], ())) == len(threads))
        client.get(f"/apps/{app}").raise_for_status()  # while none of them has been answered to the end
        assert results == []
    finally:
        finish(store, build["id"])
        for thread in threads:
            thread.join(60)
    assert results == ["Done\n"] * len(threads)


def test_a_follower_that_goes_away_is_forgotten(
    client: httpx.Client, build: dict[str, Any], services: Services
) -> None:
    with client.stream("GET", path_of(build["output_stream_url"])):
        _until(lambda: build["id"] in services.wakers._events)
    _until(lambda: build["id"] not in services.wakers._events)
    assert "exception" not in str(services.journal.entries)  # type: ignore[attr-defined]


def test_the_link_to_the_output_is_for_that_build(nobody: httpx.Client, build: dict[str, Any]) -> None:
    link = path_of(build["output_stream_url"])
    assert nobody.get(link.partition("?")[0]).status_code == 403
    other = link.replace(build["id"], str(uuid.UUID(int=1)))
    assert nobody.get(other).json()["message"] == "Couldn't find that build."


def write(store: Store, build_id: str, sequence: int, text: str) -> None:
    """Write a piece of output, as the builder does."""
    with store.transaction() as session:
        session.add(BuildOutput(build_id=uuid.UUID(build_id), sequence=sequence, text=text))
        notify(session, BUILD_OUTPUT, build_id)


def finish(store: Store, build_id: str) -> None:
    """Write the last piece and finish the build in one go."""
    with store.transaction() as session:
        session.add(BuildOutput(build_id=uuid.UUID(build_id), sequence=9, text="Done\n"))
        session.execute(update(Build).where(Build.id == uuid.UUID(build_id)).values(status="succeeded"))
        notify(session, BUILD_OUTPUT, build_id)


def _until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@pytest.fixture(autouse=True)
def _empty_folder(services: Services) -> Iterator[None]:
    yield
    for path in services.configuration.sources.iterdir():
        path.unlink(missing_ok=True)


def test_a_build_says_what_stack_it_was_for(client: httpx.Client, app: str, build: dict[str, Any]) -> None:
    client.patch(f"/apps/{app}", json={"build_stack": "container"}).raise_for_status()
    assert client.get(f"/apps/{app}/builds/{build['id']}").json()["stack"] == "dynoform-13"


def test_a_builder_on_another_host_gets_a_source_by_a_link_of_its_own(
    client: httpx.Client, nobody: httpx.Client, services: Services
) -> None:
    blob = client.post("/sources").json()["source_blob"]
    nobody.put(path_of(blob["put_url"]), content=b"a tarball").raise_for_status()
    identifier = path_of(blob["put_url"]).removeprefix("/sources/").partition("?")[0]

    def get(upload: str, claims: dict[str, str], purpose: str = uploads.PURPOSE) -> httpx.Response:
        token = services.vault.sign(purpose, claims, uploads.SECONDS)
        return nobody.get(uploads.path(upload), params={"token": token})

    assert get(identifier, {"upload": identifier}).content == b"a tarball"
    other = str(uuid.uuid4())
    assert get(identifier, {"upload": other}).status_code == 404
    assert get(other, {"upload": other}).status_code == 404
    assert get(identifier, {"upload": identifier}, "get source").status_code == 403
    assert nobody.get(uploads.path(identifier)).status_code == 403
    assert get("nothing", {"upload": "None"}).status_code == 404

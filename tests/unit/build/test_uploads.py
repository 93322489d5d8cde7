"""Uploaded sources and slugs on a host that does not share the API's disk."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dynoform.build import uploads as module
from dynoform.build.uploads import Uploads
from dynoform.configuration import Configuration
from dynoform.domain import uploads
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.store.secrets import Vault

VAULT = Vault("A" * 42 + "s=")
Answers = Callable[[str], tuple[int, bytes]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 3)
    return []


@pytest.fixture
def at(asked: list[str], tmp_path: Path) -> Iterator[Callable[[Answers], Uploads]]:
    """Uploads of an API that answers so, on a host without any file."""
    servers = []

    def make(answers: Answers) -> Uploads:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                status, body = answers(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "sources").mkdir()
        configuration = replace(
            Configuration.from_environment({}),
            platform_address="127.0.0.1",
            api_port=server.server_address[1],
            sources=tmp_path / "sources",
        )
        return Uploads(configuration, VAULT)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_file_on_this_host_is_used_where_it_is(
    at: Callable[[Answers], Uploads], asked: list[str], tmp_path: Path
) -> None:
    found, identifier = at(lambda path: (500, b"")), uuid.uuid4()
    (tmp_path / "sources" / str(identifier)).write_bytes(b"tar")
    assert found.path(identifier, tmp_path) == tmp_path / "sources" / str(identifier)
    assert asked == []


def test_another_is_fetched_from_the_api_with_a_link_for_it_alone(
    at: Callable[[Answers], Uploads], asked: list[str], tmp_path: Path
) -> None:
    identifier = uuid.uuid4()
    path = at(lambda path: (200, b"a tarball" * 100_000)).path(identifier, tmp_path)
    assert path.read_bytes() == b"a tarball" * 100_000
    address, _, token = asked[0].partition("?token=")
    assert address == uploads.path(identifier)
    assert VAULT.verify(uploads.PURPOSE, token)["upload"] == str(identifier)


def test_one_that_nobody_has_is_to_be_uploaded_again(at: Callable[[Answers], Uploads], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="source: is gone — upload it again"):
        at(lambda path: (404, b"{}")).path(uuid.uuid4(), tmp_path)


def test_an_api_that_fails_is_asked_again_for_a_while(
    at: Callable[[Answers], Uploads], asked: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match=r"upload: cannot be fetched from the API \(it answers 503\) — look at"):
        at(lambda path: (503, b"")).path(uuid.uuid4(), tmp_path)
    assert len(asked) > 1

"""The operator's client of the Platform API, against servers whose connections break."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynoform.cli import running
from tests.integration.certificates import Authority

ANSWER = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers one request a connection with what it is told, or hangs up without a word."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        certificate, key = authority.issue("api", "127.0.0.1")
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(authority.pem)
        (folder / "server.pem").write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.answers: list[bytes | None] = []
        self.asked: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                while self.answers and (request := connection.recv(65536)):
                    self.asked.append(request.partition(b" HTTP")[0].decode())
                    answer = self.answers.pop(0)
                    if answer is None:
                        break  # an idle connection that is closed in the moment in which it is used again
                    connection.sendall(answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.listener.close()


@pytest.fixture
def api(server: Server, monkeypatch: pytest.MonkeyPatch) -> running.Api:
    monkeypatch.setattr(running, "pause", lambda failures: 0.01)
    return running.Api(f"https://127.0.0.1:{server.listener.getsockname()[1]}", "key", server.ca)


def test_what_does_no_harm_twice_is_asked_again_when_the_connection_breaks(server: Server, api: running.Api) -> None:
    server.answers = [ANSWER % b"200 OK", None, None, ANSWER % b"200 OK"]
    assert (api.get("/apps"), api.get("/apps/shop")) == ({}, {})
    assert server.asked == ["GET /apps", "GET /apps/shop", "GET /apps/shop", "GET /apps/shop"]


def test_a_long_list_is_read_to_its_end(server: Server, api: running.Api) -> None:
    page = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: 3\r\n\r\n[%d]"
    following = b"Next-Range: name ]b..; max=200\r\n"
    server.answers = [page % (b"206 Partial Content", following, 1), page % (b"200 OK", b"", 2)]
    assert api.every("/apps") == [1, 2]
    server.answers = [ANSWER % b"403 Forbidden"]
    with pytest.raises(OSError, match="GET /apps: Client error '403 Forbidden'"):
        api.every("/apps")


def test_a_deletion_that_was_heard_is_none_the_second_time(server: Server, api: running.Api) -> None:
    # Its connection is not used again: whether that broke in between would be chance.
    server.answers = [None, ANSWER % b"404 Not Found\r\nConnection: close"]
    assert api.delete("/apps/shop") is None
    server.answers = [ANSWER % b"404 Not Found"]
    with pytest.raises(OSError, match="404"):
        api.delete("/apps/shop")


def test_what_might_be_done_twice_is_not(server: Server, api: running.Api) -> None:
    server.answers = [None, ANSWER % b"201 Created"]
    with pytest.raises(OSError, match="POST /apps: Server disconnected"):
        api.post("/apps", {})
    assert server.asked == ["POST /apps"]


def test_it_gives_up_after_some_times(server: Server, api: running.Api) -> None:
    server.answers = [None] * 9
    with pytest.raises(OSError, match="GET /apps: Server disconnected"):
        api.get("/apps")
    assert len(server.asked) == running.ATTEMPTS

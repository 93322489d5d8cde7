"""What hostile clients send: the right answer, nothing of it for another request, and others are served meanwhile."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from dynoform.router.rendering import Patience
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.raw_dyno import RawDyno
from tests.integration.router_under_test import DYNOS, RouterUnderTest, log_plane, running

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

RAW = 21021
HOST = b"Host: blog.localhost\r\n"


@pytest.fixture(scope="module")
def router(parts: EngineParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterUnderTest]:
    patience = Patience(head=2)
    with log_plane() as logplex, running(parts, logplex, tmp_path_factory.mktemp("router"), patience) as found:
        yield found


@pytest.fixture
def dyno(router: RouterUnderTest) -> Iterator[RawDyno]:
    made = RawDyno(DYNOS, RAW)
    router.route(router.dyno(1, RAW, router.blog))
    yield made
    made.close()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
        (b"Content-Length: 3\r\nContent-Length: 3\r\n", 200),
        (b"Content-Length: 3, 4\r\n", 400),
        (b"Content-Length: +3\r\n", 400),
        (b"Content-Length : 3\r\n", 400),
        (b"Transfer-Encoding: chunked, identity\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 400),
        (b"Transfer-Encoding : chunked\r\n", 400),
        (b"Host: other.localhost\r\n", 400),
        (b"X-A: " + b"a" * 8190 + b"\r\n", 400),
        (b"X-A: " + b"a" * 8100 + b"\r\n", 200),
        (b"X" * 1001 + b": a\r\n" + b"X-B: " + b"b" * 8000 + b"\r\n", 400),
        (b"X-A: a\r\n" * 990, 200),
        (b"X-A: a\r\n" * 1001, 400),
        ((b"X-A: " + b"a" * 8000 + b"\r\n") * 7, 200),
        ((b"X-A: " + b"a" * 8000 + b"\r\n") * 9, 400),
        (b"Expect: a-miracle\r\n", 417),
        (b"X-A: a\x00b\r\n", 400),
    ],
)
def test_heads_that_are_not_as_they_should_be(
    router: RouterUnderTest, dyno: RawDyno, head: bytes, expected: int
) -> None:
    method = b"POST" if b"ength" in head or b"Encoding" in head else b"GET"
    answer = router.raw(method + b" / HTTP/1.1\r\n" + HOST + head + b"\r\nabc", quiet=0.5)
    assert status(answer) == expected
    assert router.get("blog.localhost", "/after").status == 200


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET /" + b"a" * 8170 + b" HTTP/1.1", 200),
        (b"GET /" + b"a" * 8190 + b" HTTP/1.1", 400),
        (b"M" * 128 + b" / HTTP/1.1", 400),
        (b"CONNECT blog.localhost:80 HTTP/1.1", 405),
        (b"GET http://shop.localhost/ HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
    ],
)
def test_request_lines(router: RouterUnderTest, dyno: RawDyno, line: bytes, expected: int) -> None:
    assert status(router.raw(line + b"\r\n" + HOST + b"\r\n", quiet=0.5)) == expected


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 60\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"Transfer-Encoding: chunked\nContent-Length: 60\n",
    ],
)
def test_no_second_request_is_smuggled_in(router: RouterUnderTest, dyno: RawDyno, head: bytes) -> None:
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: blog.localhost\r\n\r\n"
    router.raw(b"POST /first HTTP/1.1\r\n" + HOST + head + b"\r\n" + body, quiet=0.5)
    for connection in dyno.received:
        for found in bytes(connection).split(b"\r\n\r\n"):
            if b"POST /first" in found:
                lowered = found.lower()
                assert (b"transfer-encoding:" in lowered) != (b"content-length:" in lowered), "one length, for the dyno"
                assert b"\n" not in found.replace(b"\r\n", b"")
            # If it got there, then as a request of its own, which the router saw and gave an id.
            if b"GET /smuggled" in found:
                assert b"x-request-id:" in found.lower()


def test_a_client_says_nothing_for_the_router(router: RouterUnderTest, dyno: RawDyno) -> None:
    claimed = {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "X-Request-Start": "1", "X-Forwarded-For": "a"}
    head = json.loads(router.get("blog.localhost", "/echo", headers=claimed).text)["head"].lower()
    assert head.count("x-forwarded-proto:") == head.count("x-forwarded-port:") == head.count("x-request-start:") == 1
    assert "x-forwarded-proto: http\r\n" in head
    assert "x-forwarded-for: a, 127.0.0.1\r\n" in head


def test_the_router_says_go_on_itself_once(router: RouterUnderTest, dyno: RawDyno) -> None:
    with closing(socket.create_connection(("127.0.0.1", router.http), 5)) as client:
        client.sendall(b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n")
        client.sendall(b"abc")
        answer = client.recv(65536)
    assert status(answer) == 200
    assert b"expect" not in answer.lower()


def test_who_sends_a_head_byte_by_byte_is_told_to_go(router: RouterUnderTest, dyno: RawDyno) -> None:
    started = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", router.http), 5)) as slow, suppress(OSError):
        while time.monotonic() - started < 6:
            slow.sendall(b"X")
            slow.settimeout(0.2)
            with suppress(TimeoutError):
                answer = slow.recv(100)
                assert answer == b"" or status(answer) in {400, 408}
                break
    assert time.monotonic() - started < 4


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_refused(router: RouterUnderTest, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with closing(socket.create_connection(("127.0.0.1", router.https), 5)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_lines_of_requests_that_outlive_a_reload_are_kept(router: RouterUnderTest, dyno: RawDyno) -> None:
    paths = [f"/drip?{number}" for number in range(10)]
    clients = [socket.create_connection(("127.0.0.1", router.http), 10) for _ in paths]
    for client, path in zip(clients, paths, strict=True):
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: blog.localhost\r\n\r\n".encode())
        assert client.recv(17).startswith(b"HTTP/1.1 200 OK")
    workers = router.agent.master.workers()
    assert router.agent.master.reload().succeeded
    assert {*router.agent.master.workers()} > {*workers}, "the old worker is still there"
    for path in paths:
        found = router.log_line(router.blog, f'path="{path}"', seconds=20)
        assert " at=info method=GET " in found
    for client in clients:
        client.close()

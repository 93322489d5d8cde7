"""What hostile clients send: the right answer, nothing of it for another request, and others are served meanwhile."""

import json
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from dynoform.router.rendering import Patience
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.raw_dyno import RawDyno
from tests.integration.router.under_test import DYNOS, RouterUnderTest, log_plane, running

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

RAW = 21021
HOST = b"Host: blog.localhost\r\n"
IDLE = 10_000
MOST_FOR_EACH = 8 << 10
"""Bytes of the router's memory for an idle connection, kept alive."""


@pytest.fixture(scope="module")
def router(parts: EngineParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterUnderTest]:
    patience = Patience(head=5)
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
        (b"X\x00A: b\r\n", 400),
        (b"X-A: a\rb\r\n", 400),
        (b"X A: b\r\n", 400),
        (b": b\r\n", 400),
        (b"Content-Length: 3\x00\r\n", 400),
        (b"Content-Length: 0x3\r\n", 400),
        (b"Content-Length:\n 3\r\n", 200),  # folded, as of old: the dyno gets one line
        (b"Content-Length: 99999999999999999999\r\n", 400),
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
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /a\rb HTTP/1.1", 400),
        (b"G\x00T / HTTP/1.1", 400),
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
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 60\r\n",
        b"Content-Length: 5\r\n\tTransfer-Encoding: chunked\r\n",
        b"X-A: a\x00\r\nTransfer-Encoding: chunked\r\n",
        b"X-A: a\rTransfer-Encoding: chunked\r\n",
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


@pytest.mark.parametrize(
    "body",
    [
        b"3;" + b"x" * 20 + b"\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3\x00\r\nabc\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcGET /smuggled HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
    ],
)
def test_bodies_in_chunks_that_are_none_bring_nothing_else_to_the_dyno(
    router: RouterUnderTest, dyno: RawDyno, body: bytes
) -> None:
    head = b"POST /chunks HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    router.raw(head + body, quiet=0.5)
    received = [bytes(connection) for connection in dyno.received if b"/chunks" in connection]
    assert not any(b"/smuggled" in found.partition(b"\r\n\r\n")[2] for found in received)
    assert not any(b"\x00" in found for found in received)
    assert router.get("blog.localhost", "/after").status == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"blog.localhost@shop.localhost", {400, 404}),
        (b"blog.localhost/../shop.localhost", {400, 404}),
        (b"blog.localhost|lone|127.0.0.1/22/web.1", {400, 404}),
        (b"/generation", {400, 404}),
        (b"/error/blog", {400, 404}),
        (b"blog.localhost blog.localhost", {400, 404}),
        (b"blog.localhost\r\nHost: shop.localhost", {400}),
        (b"blog.localhost:80:90", {200, 400}),
        (b"", {400, 404}),
        (b"%62log.localhost", {404}),
        (b"blog.localhost\t", {200, 400}),
        (b"blog\x00.localhost", {400}),
        (b"0/blog", {400, 404}),
        (b"[::1]", {404}),
        (b"a" * 8000, {400, 404}),
    ],
)
def test_a_host_header_leads_to_its_app_or_nowhere(
    router: RouterUnderTest, dyno: RawDyno, host: bytes, expected: set[int]
) -> None:
    answer = router.raw(b"GET /echo HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", quiet=0.5)
    assert status(answer) in expected
    assert b"location:" not in answer.lower()
    if host and status(answer) != 200:
        assert host[:40] not in answer, "nothing of it is shown"


def test_the_apis_redirect_leads_to_itself(router: RouterUnderTest) -> None:
    for host in (b"api.localhost", b"API.localhost.:1", b"localhost:evil.example"):
        answer = router.raw(b"GET //evil.example/ HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", quiet=0.5)
        where = answer.lower().partition(b"location: https://")[2].partition(b"\r\n")[0].decode()
        assert where.rstrip("/").removesuffix("//evil.example") in {
            f"{name}:{router.https}" for name in ("api.localhost", "api.localhost.", "localhost")
        }


def test_ten_thousand_idle_connections_keep_nobody_from_being_served(
    router: RouterUnderTest, dyno: RawDyno, files: None
) -> None:
    router.route(router.dyno(1, 21001))
    before = memory(router)
    request = b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n"  # which the router answers itself
    with ExitStack() as idle:
        for number in range(IDLE):
            # A tenth has never said a word; they are told to go when a head is due.
            client = idle.enter_context(socket.create_connection(("127.0.0.1", router.http), 10))
            if number % 10:
                client.sendall(request)
                assert client.recv(12) == b"HTTP/1.1 404"
        took = []
        for _ in range(50):
            started = time.monotonic()
            assert router.get("shop.localhost").status == 200
            took.append(time.monotonic() - started)
        each = (memory(router) - before) / IDLE
        idle_ones = int(router.agent.master._ask("@1 show info", 5).partition("CurrConns: ")[2].split()[0])
    assert idle_ones > IDLE * 0.8
    assert sorted(took)[45] < 1
    assert each < MOST_FOR_EACH, f"{each:.0f} bytes for each"
    print(f"{each:.0f} bytes for each idle connection")


@pytest.fixture
def files() -> Iterator[None]:
    """As many open files as the test's own ends of the connections need."""
    least = IDLE + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < least:
        pytest.skip(f"this process may have {hard} open files, {least} are needed: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, least), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(router: RouterUnderTest) -> int:
    """Resident bytes of all of the router's processes."""
    found = 0
    for process in router.container.top(ps_args="-eo pid,rss")["Processes"]:
        found += int(process[1]) * 1024
    return found


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
        while time.monotonic() - started < 20:
            slow.sendall(b"X")
            slow.settimeout(0.2)
            with suppress(TimeoutError):
                answer = slow.recv(100)
                assert answer == b"" or status(answer) in {400, 408}
                break
    assert time.monotonic() - started < 15


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
    clients = []
    for path in paths:
        clients.append(client := socket.create_connection(("127.0.0.1", router.http), 10))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: blog.localhost\r\n\r\n".encode())
        assert client.recv(17).startswith(b"HTTP/1.1 200 OK")
    workers = router.agent.master.workers()
    assert router.agent.master.reload().succeeded
    assert {*router.agent.master.workers()} > {*workers}, "the old worker is still there"
    for path in paths:
        found = router.log_line(router.blog, f'path="{path}"')
        assert " at=info method=GET " in found
    for client in clients:
        client.close()

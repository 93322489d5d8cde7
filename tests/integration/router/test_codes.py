"""Every H code that a router can give: what provokes it, what the client gets, and the whole line in the app's log."""

import http.client
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dynoform.domain.router_log import CODES
from dynoform.domain.routes import CustomDomain, RoutedApp, WebDyno
from dynoform.router.rendering import ATTEMPTS, IN_FLIGHT, QUARANTINE_SECONDS, Patience
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.raw_dyno import FullListener, RawDyno
from tests.integration.router.under_test import DYNOS, HOLD_SECONDS, RouterUnderTest, log_plane, running

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

RAW, FULL, NOBODY = 21011, 21012, 21099
QUICK = Patience(connect=2, first_byte=4, idle=3)
"""In place of 5, 30 and 55 s."""
BUSY = 5000
"""Milliseconds by which anything may take longer on a busy machine."""
HEAD = b"POST %s HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture(scope="module")
def router(parts: EngineParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterUnderTest]:
    with log_plane() as logplex, running(parts, logplex, tmp_path_factory.mktemp("router"), QUICK) as found:
        yield found


@pytest.fixture(scope="module")
def dyno() -> Iterator[RawDyno]:
    made = RawDyno(DYNOS, RAW)
    yield made
    made.close()


def to(router: RouterUnderTest, *ports: int) -> None:
    router.route(*(router.dyno(number, port, router.blog) for number, port in enumerate(ports, start=1)))


def line(router: RouterUnderTest, path: str) -> str:
    """The router's line of a request, without what differs each time."""
    found = router.log_line(router.blog, f'path="{path}"')
    found = found.partition(" heroku[router]: ")[2]
    assert re.search(r" request_id=[0-9a-f-]{36} ", found)
    return re.sub(r" request_id=[0-9a-f-]{36} ", " ", found)


def expected(code: str, desc: str, path: str, rest: str, method: str = "GET", at: str = "error") -> str:
    start = f'at={at} code={code} desc="{desc}" method={method} path="{path}" host=blog.localhost fwd="127.0.0.1"'
    return f"{start} {rest} protocol=http tls=false"


def milliseconds(found: str, name: str) -> int:
    return int(re.search(rf" {name}=(\d+)ms ", found)[1])  # type: ignore[index]


def check(found: str, wanted: str, service: tuple[int, int] = (0, 1000), connect: tuple[int, int] = (0, 200)) -> None:
    """``wanted`` has N for the times, which lie in these ranges where nothing stalls."""
    assert re.sub(r"=\d+ms", "=Nms", found) == wanted
    for name, (least, most) in (("service", service), ("connect", connect)):
        if f" {name}=Nms" in wanted:
            assert least <= milliseconds(found, name) <= most + BUSY, found


def arrived(dyno: RawDyno, path: bytes) -> None:
    """Wait until the dyno has been asked for this."""
    deadline = time.monotonic() + 60
    while not any(b" %s " % path in each for each in dyno.received):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("state", "code", "desc", "status"),
    [
        ("none", "H14", "No web processes running", 503),
        ("crashed", "H10", "App crashed", 503),
        ("up", "H80", "Maintenance mode", 503),
        ("blank", "H81", "Blank app", 502),
    ],
)
def test_without_a_dyno_to_ask_there_is_nothing_to_say_of_one(
    router: RouterUnderTest, state: str, code: str, desc: str, status: int
) -> None:
    dynos = {"crashed": [router.dyno(1, None, router.blog, "crashed")], "up": [router.dyno(1, RAW, router.blog)]}
    router.route(*dynos.get(state, []), blog=RoutedApp(router.blog, "blog", code == "H80", blank=state == "blank"))
    assert router.get("blog.localhost", f"/{state}").status == status
    rest = f"dyno= connect= service= status={status} bytes="
    at = "info" if code in {"H80", "H81"} else "error"
    assert line(router, f"/{state}") == expected(code, desc, f"/{state}", rest, at=at)


def test_h20_when_a_dyno_does_not_boot_in_time(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, None, router.blog, "starting"))
    assert router.get("blog.localhost", "/boots").status == 503
    rest = "dyno= connect= service= status=503 bytes="
    assert line(router, "/boots") == expected("H20", "App boot timeout", "/boots", rest)


def test_every_code_that_there_is_is_provoked_here() -> None:
    assert set(re.findall(r"\bH\d\d\b", Path(__file__).read_text())) >= set(CODES)


def test_h11_above_two_hundred_requests_for_each_dyno(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    waiting, already = [], len(dyno.received)
    for _ in range(IN_FLIGHT):
        waiting.append(socket.create_connection(("127.0.0.1", router.http), 5))
        waiting[-1].sendall(b"GET /flow HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
    deadline = time.monotonic() + 60
    while len(dyno.received) < already + IN_FLIGHT and time.monotonic() < deadline:
        time.sleep(0.01)
    answer = router.get("blog.localhost", "/one-more")
    for each in waiting:
        each.close()
    assert (answer.status, "Application error" in answer.text) == (503, True)
    wanted = expected("H11", "Backlog too deep", "/one-more", "dyno= connect= service= status=503 bytes=")
    assert line(router, "/one-more") == wanted
    deadline = time.monotonic() + 60
    while router.get("blog.localhost", "/again").status != 200:
        assert time.monotonic() < deadline, "those who hung up still count"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("path", "code", "desc", "status"),
    [
        ("/close", "H13", "Connection closed without response", 503),
        ("/garbage", "H17", "Poorly formatted HTTP response", 503),
        ("/cookie", "H25", "HTTP Restriction", 502),
    ],
)
def test_an_answer_that_is_none(
    router: RouterUnderTest, dyno: RawDyno, path: str, code: str, desc: str, status: int
) -> None:
    to(router, RAW)
    answer = router.get("blog.localhost", path)
    assert (answer.status, "Application error" in answer.text) == (status, True)
    rest = f"dyno=web.1 connect=Nms service=Nms status={status} bytes=0"
    check(line(router, path), expected(code, desc, path, rest))


def test_h13_also_on_a_connection_that_has_served_before(router: RouterUnderTest, dyno: RawDyno) -> None:
    time.sleep(2)  # the app has been busy, where connections are kept
    to(router, RAW)
    kept = http.client.HTTPConnection("127.0.0.1", router.http, timeout=60)
    statuses = []
    for path in ("/fine", "/close?kept"):
        kept.request("GET", path, headers={"Host": "blog.localhost"})
        response = kept.getresponse()
        response.read()
        statuses.append(response.status)
    kept.close()
    assert statuses == [200, 503]
    rest = "dyno=web.1 connect=Nms service=Nms status=503 bytes=0"
    check(line(router, "/close?kept"), expected("H13", "Connection closed without response", "/close?kept", rest))


def test_h12_counts_from_the_end_of_the_request(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    answer = router.get("blog.localhost", "/silent")
    assert (answer.status, "Application error" in answer.text) == (503, True)
    rest = "dyno=web.1 connect=Nms service=Nms status=503 bytes=0"
    check(line(router, "/silent"), expected("H12", "Request timeout", "/silent", rest), (3900, 5500))
    with closing(socket.create_connection(("127.0.0.1", router.http), 5)) as slow:
        slow.sendall(HEAD % b"/slowly")
        for _ in range(10):  # longer than the dyno's answer may take
            time.sleep(0.5)
            slow.sendall(b"x")
        assert slow.recv(15) == b"HTTP/1.1 200 OK"


def test_h15_and_h18_end_an_answer_that_has_begun(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    for path, code, desc, service in (
        ("/stall", "H15", "Idle connection", (2900, 4500)),
        ("/reset", "H18", "Server Request Interrupted", (950, 2500)),
    ):
        got = router.raw(f"GET {path} HTTP/1.1\r\nHost: blog.localhost\r\n\r\n".encode(), quiet=5)
        assert got.endswith(b"\r\n\r\n" + b"x" * 18)
        rest = "dyno=web.1 connect=Nms service=Nms status=503 bytes=N"
        found = re.sub(r" bytes=[1-9]\d+ ", " bytes=N ", line(router, path))
        check(found, expected(code, desc, path, rest), service)


def test_any_byte_begins_the_55_seconds_anew(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    started = time.monotonic()
    assert router.get("blog.localhost", "/drip").text == "xxxxxx"
    assert time.monotonic() - started > QUICK.idle + 1
    assert line(router, "/drip").startswith("at=info method=GET ")


def switched(router: RouterUnderTest, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", router.http), 10)
    head = f"GET {path} HTTP/1.1\r\nHost: blog.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    connection.sendall(head.encode())
    answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nupgrade: echo\r\n" in answer.lower()
    return connection


def test_any_protocol_can_be_switched_to_and_is_ended_when_idle(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    with closing(switched(router, "/switch?lively")) as lively, closing(switched(router, "/switch?idle")) as idle:
        for _ in range(4):
            time.sleep(1)
            lively.sendall(b"ping")
            assert lively.recv(4) == b"ping"
        assert idle.recv(1) == b""
    rest = "dyno=web.1 connect=Nms service=Nms status=503 bytes=N"
    found = re.sub(r" bytes=\d+", " bytes=N", line(router, "/switch?idle"))
    check(found, expected("H15", "Idle connection", "/switch?idle", rest), (2900, 4500))
    assert " status=101 " in line(router, "/switch?lively")


def test_h19_and_h21_when_no_dyno_lets_itself_be_connected_to(router: RouterUnderTest) -> None:
    full = FullListener(DYNOS, FULL)
    to(router, FULL)
    time.sleep(0.5)
    assert router.get("blog.localhost", "/times-out").status == 503
    rest = "dyno=web.1 connect=Nms service= status=503 bytes="
    wanted = expected("H19", "Backend connection timeout", "/times-out", rest)
    check(line(router, "/times-out"), wanted, connect=(1900, 3500))
    full.close()
    forget(router)
    alive = RawDyno(DYNOS, NOBODY)
    to(router, NOBODY)
    assert router.get("blog.localhost", "/up").status == 200
    alive.close()
    time.sleep(0.1)
    assert router.get("blog.localhost", "/refused").status == 503
    check(line(router, "/refused"), expected("H21", "Backend connection refused", "/refused", rest))


def forget(router: RouterUnderTest) -> None:
    """Have the router leave no dyno alone any more."""
    for table in ("lone", "several"):
        router.agent.master._ask(f"@1 clear table {table}", 5)


def test_a_dyno_that_refuses_is_left_alone_until_it_is_back_and_others_serve(
    router: RouterUnderTest, dyno: RawDyno
) -> None:
    late = RawDyno(DYNOS, NOBODY)
    to(router, RAW, NOBODY)
    late.close()
    time.sleep(0.1)
    slow, began = 0, time.monotonic()
    for number in range(60):
        started = time.monotonic()
        assert router.get("blog.localhost", f"/other/{number}").status == 200
        slow += time.monotonic() - started > 0.9
    # One more may be slow by itself, on a busy machine.
    assert slow <= 2 + (time.monotonic() - began) // QUARANTINE_SECONDS, "it costs one request a second, now and then"
    late = RawDyno(DYNOS, NOBODY)
    deadline = time.monotonic() + QUARANTINE_SECONDS + 30
    while not any(late.received) and time.monotonic() < deadline:
        router.get("blog.localhost", "/back")
    late.close()
    assert any(late.received), "it gets requests again"


def test_what_a_dyno_does_after_others_refused_is_said_of_that_one(router: RouterUnderTest, dyno: RawDyno) -> None:
    for number, (path, code, desc, status, service) in enumerate((
        ("/close?last", "H13", "Connection closed without response", 503, (0, 1000)),
        ("/silent?last", "H12", "Request timeout", 503, (3000, 5500)),
        ("/cookie?last", "H25", "HTTP Restriction", 502, (0, 1000)),
    )):  # fmt: skip
        refusing(router, number, router.dyno(4, RAW, router.blog))
        assert router.get("blog.localhost", path).status == status
        rest = f"dyno=web.4 connect=Nms service=Nms status={status} bytes=0"
        check(line(router, path), expected(code, desc, path, rest), service, (0, 1000))
    for number in range(3, 13):
        refusing(router, number, router.dyno(4, RAW, router.blog))
        assert router.get("blog.localhost", f"/fine?{number}").status == 200
        assert re.match(r"at=info method=GET .* dyno=web\.4 connect=", line(router, f"/fine?{number}"))
        assert sum(f"/fine?{number}" in text for text in router.log(router.blog)) == 1, "one line of each request"
    refusing(router, 13, router.dyno(4, RAW, router.blog))
    with closing(socket.create_connection(("127.0.0.1", router.http), 5)) as client:
        client.sendall(b"GET /silent?left HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
        arrived(dyno, b"/silent?left")
        time.sleep(0.5)
    rest = "dyno=web.4 connect=Nms service=Nms status=499 bytes=0"
    check(
        line(router, "/silent?left"), expected("H27", "Client Request Interrupted", "/silent?left", rest), (200, 1500)
    )
    with closing(switched(router, "/switch?last")) as connection:
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"


def refusing(router: RouterUnderTest, number: int, last: WebDyno) -> None:
    """Three dynos that are not there, and one that is: others for each number, so that none is left alone yet."""
    gone = [router.dyno(each, 21200 + 10 * number + each, router.blog) for each in (1, 2, 3)]
    router.route(*gone, last)


def test_no_more_than_ten_dynos_are_asked(router: RouterUnderTest) -> None:
    router.route(*(router.dyno(number, 22000 + number, router.blog) for number in range(1, 101)))
    assert router.get("blog.localhost", "/ten").status == 503
    rest = "dyno=web.N connect=Nms service= status=503 bytes="
    found = re.sub(r"web\.\d+", "web.N", line(router, "/ten"))
    check(found, expected("H21", "Backend connection refused", "/ten", rest), connect=(0, 1000))
    table = router.agent.master._ask("@1 show table several", 5)
    assert len(re.findall(rf"key={DYNOS}/22\d\d\d/web\.\d+ ", table)) == ATTEMPTS


def test_all_dynos_down_requests_wait_for_one_then_are_h99(router: RouterUnderTest) -> None:
    forget(router)
    brief = RawDyno(DYNOS, NOBODY)
    to(router, NOBODY)
    brief.close()
    time.sleep(0.1)
    assert router.get("blog.localhost", "/first").status == 503
    started = time.monotonic()
    assert router.get("blog.localhost", "/in-vain").status == 503
    assert HOLD_SECONDS - 0.5 < time.monotonic() - started < 2 * HOLD_SECONDS
    rest = "dyno= connect= service= status=503 bytes="
    assert line(router, "/in-vain") == expected("H99", "Platform error", "/in-vain", rest)
    time.sleep(2)
    assert router.get("blog.localhost", "/second").status == 503, "five seconds are over"
    late: list[RawDyno] = []
    coming = router.once_held(router.blog, lambda: late.append(RawDyno(DYNOS, NOBODY)))
    started = time.monotonic()
    assert router.get("blog.localhost", "/patient").status == 200
    assert 0.4 < time.monotonic() - started < HOLD_SECONDS
    found = line(router, "/patient")
    assert found.startswith("at=info ")
    assert " dyno=web.1 " in found
    assert milliseconds(found, "connect") > 400
    coming.join(10)
    late[0].close()


def test_h24_a_request_that_the_router_is_told_to_end(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    with closing(switched(router, "/switch?ended")) as connection:
        sessions = router.agent.master._ask("@1 show sess", 5)
        (session,) = re.findall(r"^(0x[0-9a-f]+): .*be=(?:lone|held)", sessions, re.MULTILINE)
        router.agent.master._ask(f"@1 shutdown session {session}", 5)
        assert connection.recv(1) == b""
    found = re.sub(r" bytes=\d+", " bytes=N", line(router, "/switch?ended"))
    rest = "dyno=web.1 connect=Nms service=Nms status=503 bytes=N"
    check(found, expected("H24", "Forced close", "/switch?ended", rest))


def test_h27_when_the_client_hangs_up(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    for path, head, method in (
        ("/silent?waiting", b"GET /silent?waiting HTTP/1.1\r\nHost: blog.localhost\r\n\r\n", "GET"),
        ("/sending", HEAD % b"/sending" + b"12345", "POST"),
    ):
        with closing(socket.create_connection(("127.0.0.1", router.http), 5)) as client:
            client.sendall(head)
            arrived(dyno, path.encode())
            time.sleep(0.3)
        rest = "dyno=web.1 connect=Nms service=Nms status=499 bytes=0"
        check(line(router, path), expected("H27", "Client Request Interrupted", path, rest, method), (200, 1500))


def test_h28_when_the_client_stops_sending(router: RouterUnderTest, dyno: RawDyno) -> None:
    to(router, RAW)
    got = router.raw(HEAD % b"/idle" + b"12345")
    assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    rest = "dyno=web.1 connect=Nms service=Nms status=499 bytes=N"
    found = re.sub(r" bytes=\d+", " bytes=N", line(router, "/idle"))
    check(found, expected("H28", "Client Connection Idle", "/idle", rest, "POST"), (2900, 4500))


def test_h31_a_connection_that_was_made_for_another_apps_name(router: RouterUnderTest, dyno: RawDyno) -> None:
    domains = [CustomDomain("www.one.example", router.shop), CustomDomain("www.two.example", router.blog)]
    domains += [CustomDomain("two.example", router.blog)]
    router.route(router.dyno(1, 21001), router.dyno(1, RAW, router.blog), domains=domains)

    def ask(shown: str, host: str, version: str = "--http2") -> str:
        where = ["--resolve", f"{shown}:{router.https}:127.0.0.1", f"https://{shown}:{router.https}/{uuid.uuid4()}"]
        status = ["-o", "/dev/null", "-w", "%{http_code} %{http_version} %{url_effective}"]
        return subprocess.run(
            ["curl", "-s", "-k", version, "-H", f"Host: {host}", *status, *where],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout  # fmt: skip

    status, version, url = ask("www.one.example", "www.two.example").split()
    assert (status, version) == ("421", "2")
    found = router.log_line(router.blog, url.rpartition("/")[2])
    assert ' at=error code=H31 desc="Misdirected Request" method=GET ' in found
    assert " dyno= connect= service= status=421 bytes= protocol=https tls=true tls_version=tls1.3" in found
    for shown, host in (
        ("www.two.example", "www.two.example"),
        ("two.example", "www.two.example"),
        ("shop.localhost", "blog.localhost"),
    ):
        assert ask(shown, host).startswith("200 2 "), (shown, host)
    assert ask("www.one.example", "www.two.example", "--http1.1").startswith("200 1.1 ")

"""What can be chosen of routers: an app's own pages, session affinity, how dynos are drawn, PROXY protocol."""

import json
import socket
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress

import httpx
import pytest

from dynoform.domain.routes import RoutedApp, WebDyno
from dynoform.router.rendering import Patience
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.raw_dyno import RawDyno
from tests.integration.router.under_test import DYNOS, RouterUnderTest, log_plane, running

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

RAW, NOBODY = 21041, 21099
BALANCER = "127.72.0.9"
"""A load balancer's address; anybody else's is what it is."""
OWN_PAGE = "https://pages.example/oops.html?a=b&c=d"
MAINTENANCE_PAGE = "//pages.example/soon.html"


@pytest.fixture(scope="module")
def router(parts: EngineParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterUnderTest]:
    settings = {"DYNOFORM_ROUTING": "better", "DYNOFORM_PROXY_PROTOCOL_FROM": f"10.9.0.0/16 {BALANCER}/32"}
    folder = tmp_path_factory.mktemp("router")
    with log_plane() as logplex, running(parts, logplex, folder, Patience(first_byte=4), **settings) as found:
        yield found


def blog(router: RouterUnderTest, **values: object) -> RoutedApp:
    return RoutedApp(router.blog, "blog", **values)  # type: ignore[arg-type]


def frame(text: str) -> str:
    """The address of the page's frame, which hides what is below unless it is empty."""
    return text.partition('<iframe src="')[2].partition('"')[0]


def test_an_app_shows_pages_of_its_own_in_a_frame(router: RouterUnderTest) -> None:
    dyno = RawDyno(DYNOS, RAW)
    pages = (("ERROR_PAGE_URL", OWN_PAGE), ("MAINTENANCE_PAGE_URL", MAINTENANCE_PAGE))
    router.route(router.dyno(1, RAW, router.blog), router.dyno(1, RAW), blog=blog(router))
    reloaded = router.agent.reloaded
    for code, path, dynos, maintenance in (
        ("H14", "/none", [], False),
        ("H10", "/crashed", [router.dyno(1, None, router.blog, "crashed")], False),
        ("H13", "/close", [router.dyno(1, RAW, router.blog)], False),
        ("H12", "/silent", [router.dyno(1, RAW, router.blog)], False),
        ("H25", "/cookie", [router.dyno(1, RAW, router.blog)], False),
        ("H80", "/maintenance", [router.dyno(1, RAW, router.blog)], True),
    ):
        router.route(*dynos, router.dyno(1, RAW), blog=blog(router, maintenance=maintenance, pages=pages))
        answer = router.get("blog.localhost", path)
        assert (answer.status, frame(answer.text)) == (
            502 if code == "H25" else 503,
            MAINTENANCE_PAGE if maintenance else OWN_PAGE,
        ), code
        assert f" code={code} " in router.log_line(router.blog, f'path="{path}"')
        assert frame(router.get("shop.localhost", "/close").text) == "", "another app's page is as it was"
    router.route(blog=blog(router))
    assert frame(router.get("blog.localhost").text) == ""
    assert router.agent.reloaded == reloaded
    dyno.close()


def test_a_client_stays_with_its_dyno_where_the_app_wants_that(router: RouterUnderTest) -> None:
    dynos = [router.dyno(number, port, router.blog) for number, port in ((1, 21001), (2, 21002))]
    router.route(*dynos, blog=blog(router, affinity=True))
    seen = set()
    for _ in range(30):  # by fewer, all may by chance be with one
        with client(router) as browser:
            answers = [browser.get("/") for _ in range(8)]
            (name,) = {answer.json()["name"] for answer in answers}
            assert [len(answer.headers.get_list("set-cookie")) for answer in answers] == [1] + 7 * [0]
            assert "heroku-session-affinity" not in answers[-1].text, "the dyno does not see the cookie"
            seen.add(name)
    assert seen == {"one", "two"}


def test_a_client_whose_dyno_is_gone_gets_another_and_stays_there(router: RouterUnderTest) -> None:
    dynos = [router.dyno(number, port, router.blog) for number, port in ((1, 21001), (2, 21002), (3, 21001))]
    router.route(*dynos, blog=blog(router, affinity=True))
    reloaded = router.agent.reloaded
    with client(router) as browser:
        while browser.get("/").json()["name"] != "two":
            browser.cookies.clear()
        dead = [dynos[0], moved(dynos[1], NOBODY), dynos[2]]
        for left in (dead, [dynos[0], dynos[2]]):
            router.route(*left, blog=blog(router, affinity=True))
            assert {browser.get("/").status_code for _ in range(10)} == {200}
            assert {browser.get("/").json()["name"] for _ in range(10)} == {"one"}
    assert router.agent.reloaded == reloaded


def moved(dyno: WebDyno, port: int) -> WebDyno:
    return WebDyno(dyno.id, dyno.app_id, dyno.number, dyno.state, dyno.address, port)


def client(router: RouterUnderTest) -> httpx.Client:
    """A browser with cookies of its own."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{router.http}", headers={"Host": "blog.localhost"}, trust_env=False, timeout=20
    )


def test_of_two_dynos_drawn_the_less_busy_one_is_taken(router: RouterUnderTest) -> None:
    busy = RawDyno(DYNOS, RAW)
    router.route(router.dyno(1, RAW, router.blog), router.dyno(2, 21002, router.blog), blog=blog(router))
    waiting = []
    for _ in range(40):
        waiting.append(socket.create_connection(("127.0.0.1", router.http), 5))
        # As if all went to one: the other's end at once.
        waiting[-1].sendall(b"GET /flow HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
        assert waiting[-1].recv(12) == b"HTTP/1.1 200"
    drawn = Counter("two" in router.get("blog.localhost").text for _ in range(200))
    for each in waiting:
        each.close()
    busy.close()
    assert drawn[False] < 75, "a half of 200 would be blind, a quarter is both times the same"


@pytest.mark.parametrize("version", [1, 2])
def test_a_load_balancer_tells_the_clients_address(router: RouterUnderTest, version: int) -> None:
    router.route(router.dyno(1, 21001))
    told = b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n"
    if version == 2:
        told = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([203, 0, 113, 7, 198, 51, 100, 1, 0x9C, 0x40, 1, 0xBB])
    answer = ask(router, BALANCER, told)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["x-forwarded-for"] == "203.0.113.7"
    path = f"/{uuid.uuid4()}"
    ask(router, BALANCER, told, path)
    assert ' fwd="203.0.113.7" ' in router.log_line(router.shop, path)


def test_who_is_no_load_balancer_is_not_believed_and_who_is_has_to_say(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001))
    told = b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n"
    assert ask(router, "127.0.0.1", told).startswith(b"HTTP/1.1 400 ")
    assert ask(router, "127.0.0.1", b"").startswith(b"HTTP/1.1 200 ")
    assert ask(router, BALANCER, b"") == b""


def ask(router: RouterUnderTest, source: str, told: bytes, path: str = "/") -> bytes:
    """What comes back for a request from this address that begins with ``told``."""
    with closing(socket.create_connection(("127.0.0.1", router.http), 5, (source, 0))) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(told + head.encode())
        answer = b""
        with suppress(ConnectionResetError):
            while received := connection.recv(65536):
                answer += received
        return answer

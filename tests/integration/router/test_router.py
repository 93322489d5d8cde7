"""The router image and the router agent against real HAProxy: what clients, dynos and the app's log see."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager

import pytest

from components.router import USER
from dynoform.domain import routes
from dynoform.domain.routes import CustomDomain, RoutedApp, compute
from dynoform.errors import DynoformError
from dynoform.logplex.server import Logplex
from dynoform.router.agent import RefusedError
from dynoform.router.haproxy import Traffic
from dynoform.router.rendering import Base
from tests.figures import best
from tests.integration import certificates
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.under_test import (
    AWAY_SECONDS,
    DYNOS,
    HOLD_SECONDS,
    PLATFORM,
    Answer,
    RouterUnderTest,
    log_plane,
    running,
    serve,
    wait_for_tcp,
)

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def logplex() -> Iterator[Logplex]:
    with log_plane() as plane:
        yield plane


@pytest.fixture(scope="module")
def router(parts: EngineParts, logplex: Logplex, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterUnderTest]:
    with running(parts, logplex, tmp_path_factory.mktemp("router")) as found:
        yield found


def test_before_the_first_routes_the_api_answers_and_apps_get_an_error_page(router: RouterUnderTest) -> None:
    assert router.get("localhost", "/apps", tls=True).seen["x-forwarded-proto"] == "https"
    answer = router.get("shop.localhost")
    assert (answer.status, "Application error" in answer.text) == (503, True)


def test_a_request_reaches_the_apps_dyno_with_herokus_headers(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001))
    answer = router.get(f"Shop.localhost.:{router.http}", "/a?b=c", headers={"X-Forwarded-For": "203.0.113.7"})
    assert json.loads(answer.text)["path"] == "/a?b=c"
    seen = answer.seen
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-port"] == str(router.http)
    assert seen["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    assert abs(int(seen["x-request-start"]) / 1000 - time.time()) < 60
    assert uuid.UUID(seen["x-request-id"])
    assert seen["via"] == answer.headers["via"] == "1.1 heroku-router"


@pytest.mark.parametrize(
    ("given", "kept"), [("a" * 20, True), ("my-own-request-id-0001", True), ("short", False), ("bad id " * 4, False)]
)
def test_a_clients_request_id_is_kept_when_it_is_one(router: RouterUnderTest, given: str, kept: bool) -> None:
    router.route(router.dyno(1, 21001))
    seen = router.get("shop.localhost", headers={"X-Request-ID": given}).seen["x-request-id"]
    assert (seen == given) is kept


def test_each_request_leaves_its_line_in_the_apps_log(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001))
    router.get("shop.localhost", "/seen?x=1", tls=True)
    line = router.log_line(router.shop, "/seen")
    assert " heroku[router]: at=info method=GET " in line
    assert ' path="/seen?x=1" host=shop.localhost request_id=' in line
    assert ' fwd="127.0.0.1" dyno=web.1 connect=' in line
    assert " status=200 bytes=" in line
    assert " protocol=https tls=true tls_version=tls1.3" in line


def test_requests_go_to_all_dynos_at_random(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001), router.dyno(2, 21002))
    shares = Counter(json.loads(router.get("shop.localhost").text)["name"] for _ in range(400))
    assert 140 < shares["one"] < 260


def test_an_unknown_host_gets_no_such_app(router: RouterUnderTest) -> None:
    answer = router.get("nobody.localhost")
    assert (answer.status, "No such app" in answer.text) == (404, True)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("www.example.com", "one"),
        ("WWW.Example.com.", "one"),
        ("a.example.com", "two"),
        ("a.b.example.com", "two"),
        ("a.near.example.com", "one"),
        ("example.com", None),
        ("xexample.com", None),
        (".com", None),
        ("nobody.localhost", None),
    ],
)
def test_custom_domains_and_wildcards_are_routed(router: RouterUnderTest, host: str, name: str | None) -> None:
    shop, blog = router.dyno(1, 21001), router.dyno(1, 21002, router.blog)
    names = {"www.example.com": router.shop, "*.example.com": router.blog, "*.near.example.com": router.shop}
    router.route(shop, blog, domains=[CustomDomain(hostname, app) for hostname, app in names.items()])
    answer = router.get(host)
    assert (answer.status, json.loads(answer.text)["name"] if name else None) == (200 if name else 404, name)


def ask(router: RouterUnderTest, path: str) -> "Future[Answer]":
    """A request to the app ``blog``, in a thread."""
    answer: Future[Answer] = Future()
    threading.Thread(target=lambda: answer.set_result(router.get("blog.localhost", path)), daemon=True).start()
    return answer


def held(router: RouterUnderTest, number: int) -> None:
    """Until so many requests to it wait at the agent."""
    ends = time.monotonic() + 30
    while len(router.agent.gate._waiting.get(str(router.blog), ())) < number:
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("state", ["idle", "starting"])
def test_a_request_waits_for_a_dyno_that_sleeps_or_boots(router: RouterUnderTest, state: str) -> None:
    router.route(router.dyno(1, None, router.blog, state))
    router.woken.clear()
    answers = [ask(router, f"/held/{state}/{number}") for number in range(3)]
    held(router, 3)
    time.sleep(1)
    assert not any(answer.done() for answer in answers)
    assert router.woken == [router.blog]
    started = time.monotonic()
    router.route(router.dyno(1, 21002, router.blog))
    assert {json.loads(answer.result(5).text)["name"] for answer in answers} == {"two"}
    assert time.monotonic() - started < 4
    line = router.log_line(router.blog, f"/held/{state}/0")
    assert " at=info " in line
    assert int(line.partition(" dyno=web.1 connect=")[2].partition("ms")[0]) >= 1000
    assert " status=200 " in line


def test_a_request_waits_on_through_a_reload(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, None, router.blog, "idle"))
    answer = ask(router, "/reloaded")
    held(router, 1)
    assert router.agent.master.reload().succeeded
    time.sleep(0.3)
    assert not answer.done()
    router.route(router.dyno(1, 21002, router.blog))
    assert answer.result(5).status == 200


@pytest.mark.parametrize(
    ("state", "code", "desc"),
    [
        ("crashed", "H10", "App crashed"),
        ("none", "H14", "No web processes running"),
        ("maintenance", "H80", "Maintenance mode"),
        ("starting", "H20", "App boot timeout"),
    ],
)
def test_a_request_that_waits_in_vain_has_herokus_code(
    router: RouterUnderTest, state: str, code: str, desc: str
) -> None:
    router.route(router.dyno(1, None, router.blog, "starting"))
    answer = ask(router, f"/vain/{state}")
    held(router, 1)
    started = time.monotonic()
    dynos = [] if state == "none" else [router.dyno(1, None, router.blog, state)]
    router.route(*dynos, maintenance=state == "maintenance")
    assert answer.result(10).status == 503
    assert ("Offline for maintenance" in answer.result().text) is (state == "maintenance")
    assert time.monotonic() - started < (2 * HOLD_SECONDS if code == "H20" else HOLD_SECONDS - 0.5)
    line = router.log_line(router.blog, f"/vain/{state}")
    at = "info" if code == "H80" else "error"
    assert f' heroku[router]: at={at} code={code} desc="{desc}" method=GET ' in line


def test_a_request_waits_on_while_the_agent_is_started_anew(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, None, router.blog, "idle"))
    answer = ask(router, "/patient")
    held(router, 1)
    router.close_gate()
    time.sleep(1)
    assert not answer.done()
    router.open_gate()
    router.route(router.dyno(1, 21001, router.blog))
    assert answer.result(5).status == 200


def test_while_the_agent_is_away_requests_wait_their_time_and_other_apps_serve(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, None, router.blog, "idle"), router.dyno(1, 21001))
    router.close_gate()
    started = time.monotonic()
    answer = ask(router, "/away")
    assert {router.get("shop.localhost").status for _ in range(20)} == {200}
    assert answer.result(2 * AWAY_SECONDS).status == 503
    assert AWAY_SECONDS - 1 < time.monotonic() - started < 2 * AWAY_SECONDS
    assert 'code=H20 desc="App boot timeout"' in router.log_line(router.blog, "/away")
    router.open_gate()


def test_too_many_requests_do_not_wait(router: RouterUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynoform.router.gate.MOST", 2)
    router.route(router.dyno(1, None, router.blog, "starting"))
    answers = [ask(router, f"/many/{number}") for number in range(2)]
    held(router, 2)
    assert router.get("blog.localhost", "/many/2").status == 503
    assert 'code=H11 desc="Backlog too deep"' in router.log_line(router.blog, "/many/2")
    router.route(router.dyno(1, 21001, router.blog))
    assert {answer.result(5).status for answer in answers} == {200}


def test_haproxy_tells_of_requests_that_were_and_of_those_that_are(router: RouterUnderTest) -> None:
    # An app of one dyno, and one of two.
    router.route(router.dyno(1, 21001, router.blog), router.dyno(1, 21001), router.dyno(2, 21002))
    time.sleep(1.1)
    with ExitStack() as clients:
        streams = [clients.enter_context(streaming(router, host)) for host in ("blog.localhost", "shop.localhost")]
        router.agent.master.reload()  # from now on an old worker has them
        assert [sum(found.sessions for found in counted(router, app)) for app in (router.blog, router.shop)] == [1, 1]
        router.let_dynos_end()
        for stream in streams:
            stream.wait(10)
    for app, host in ((router.blog, "blog.localhost"), (router.shop, "shop.localhost")):
        asked = time.monotonic()
        router.get(host)
        # The client has its answer a moment before HAProxy has done with it.
        while (found := counted(router, app)[0]).sessions and time.monotonic() < asked + 5:
            time.sleep(0.05)
        assert found.sessions == 0
        assert found.quiet_seconds <= 1 + time.monotonic() - asked


@contextmanager
def streaming(router: RouterUnderTest, host: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A client whose answer has begun."""
    command = ["curl", "-s", "-N", "-H", f"Host: {host}", f"http://127.0.0.1:{router.http}/endless"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.read(3) == b"one"
        yield client


def counted(router: RouterUnderTest, app: uuid.UUID) -> list[Traffic]:
    """What all workers have counted of an app, the newest worker first."""
    master = router.agent.master
    tables = [master.last_requests(worker, routes.LONE) for worker in master.workers()]
    return [table[str(app)] for table in tables if str(app) in table]


def test_a_dead_dyno_costs_no_request(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001), router.dyno(2, 21099), router.dyno(3, 21098))
    assert {router.get("shop.localhost").status for _ in range(100)} == {200}


def test_a_router_that_finds_all_dynos_gone_waits_for_one(router: RouterUnderTest) -> None:
    router.route(*(router.dyno(number, 21400 + number) for number in (1, 2)))
    late = []
    coming = router.once_held(router.shop, lambda: late.append(serve(DYNOS, 21402, "late")))
    assert router.get("shop.localhost", "/one-comes").status == 200
    coming.join(10)
    late[0].shutdown()
    late[0].server_close()
    found = router.log_line(router.shop, "/one-comes")
    assert " at=info method=GET " in found and " dyno=web.2 connect=" in found
    assert int(found.partition(" connect=")[2].partition("ms")[0]) > 400
    router.route(*(router.dyno(number, 21410 + number) for number in (1, 2)))
    for path in ("/none-comes", "/none-comes-still"):
        started = time.monotonic()
        assert router.get("shop.localhost", path).status == 503
        assert HOLD_SECONDS - 0.5 < time.monotonic() - started < 2 * HOLD_SECONDS
        found = router.log_line(router.shop, f'path="{path}"')
        assert ' at=error code=H99 desc="Platform error" ' in found and " dyno= connect= service= " in found


@pytest.mark.slow
def test_a_dyno_that_does_not_answer_gives_h12_after_30_seconds(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001))
    started = time.monotonic()
    answer = router.get("shop.localhost", "/hang")
    assert 29 < time.monotonic() - started < 39
    assert answer.status == 503
    assert " status=503 " in router.log_line(router.shop, 'code=H12 desc="Request timeout"')


def test_the_api_is_served_over_tls_only_and_streams(router: RouterUnderTest) -> None:
    router.route()
    answer = router.get(f"localhost:{router.http}", "/apps?a=b")
    assert (answer.status, answer.headers["location"]) == (308, f"https://localhost:{router.https}/apps?a=b")
    connection = http.client.HTTPSConnection("127.0.0.1", router.https, timeout=60, context=router.trust)
    connection.request("GET", "/endless", headers={"Host": "api.localhost"})
    response = connection.getresponse()
    assert response.read(3) == b"one", "it is not held back until the end"
    assert router.api is not None
    router.api.enough.set()  # type: ignore[attr-defined]
    assert response.read() == b"two"
    connection.close()


def test_the_container_registry_is_the_apis(router: RouterUnderTest) -> None:
    router.route()
    answer = router.get(f"registry.localhost:{router.https}", "/v2/shop/web/manifests/latest", tls=True)
    assert (answer.status, json.loads(answer.text)["name"]) == (200, "api")
    assert json.loads(answer.text)["headers"]["host"] == f"registry.localhost:{router.https}"
    assert router.get(f"registry.localhost:{router.http}", "/v2/").status == 308


def test_a_tail_or_a_push_waits_while_the_api_is_started_anew(router: RouterUnderTest) -> None:
    router.route()
    assert router.api is not None
    for path in ("/log-sessions/token", "/v2/shop/web/blobs/uploads/1"):
        router.api.shutdown()
        router.api.server_close()
        started = time.monotonic()
        again = threading.Timer(2.5, lambda: setattr(router, "api", serve(PLATFORM, 8000, "api")))
        again.start()
        answer = router.get("localhost", path, tls=True)
        assert (answer.status, json.loads(answer.text)["name"]) == (200, "api"), path
        assert time.monotonic() - started > 2.4
        again.join()


def test_the_same_routes_are_not_loaded_twice(router: RouterUnderTest) -> None:
    wanted = router.route(router.dyno(1, 21001))
    assert router.agent.apply(wanted) is False


def test_apps_and_names_come_and_go_without_a_reload(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001))
    reloaded = router.agent.reloaded
    kept = http.client.HTTPConnection("127.0.0.1", router.http, timeout=60)
    names = [CustomDomain(f"www-{number}.example.com", router.shop) for number in range(2000)]
    for domains in ((), names[:1], names, names[1:]):
        wanted = router.route(router.dyno(1, 21001), domains=domains)
        statuses = []
        for name in ("www-0.example.com", "www-1999.example.com", "shop.localhost"):
            kept.request("GET", "/", headers={"Host": name})
            response = kept.getresponse()
            response.read()
            statuses.append(response.status)
        assert statuses == [200 if names[0] in domains else 404, 200 if names[1999] in domains else 404, 200]
        assert router.agent.apply(wanted) is False
    kept.close()
    assert router.agent.reloaded == reloaded
    router.container.restart(timeout=5)  # it reads the same from its files
    wait_for_tcp(router.http)
    assert router.get("www-1999.example.com").status == 200
    assert router.agent.apply(wanted) is False


def test_the_apis_certificate_is_renewed_while_connections_stay(router: RouterUnderTest) -> None:
    os.chown(router.folder, int(USER), int(USER))  # as the volume is: only its owner may read a key
    authority, name = certificates.Authority(), "api.localhost.apps.example"

    def route(serving: bool = True) -> str:
        certificate, key = authority.issue("api", name)
        pem = (certificate + key).decode() if serving else None
        apps = [RoutedApp(router.shop, "shop")]
        wanted = compute(apps, [router.dyno(1, 21001)], "apps.example")
        router.agent.apply(wanted, pem)
        assert router.agent.apply(wanted, pem) is False
        return certificate.decode()

    def shown() -> str:
        context = ssl.create_default_context(cadata=authority.pem.decode())
        plain = socket.create_connection(("127.0.0.1", router.https), 5)
        with plain, context.wrap_socket(plain, server_hostname=name) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")

    first = route()
    assert shown() == first
    reloaded = router.agent.reloaded
    kept = http.client.HTTPSConnection("127.0.0.1", router.https, timeout=60, context=router.trust)
    kept.request("GET", "/", headers={"Host": "shop.apps.example"})
    assert json.load(kept.getresponse())["name"] == "one"
    second = route()
    assert second != first and shown() == second
    kept.request("GET", "/", headers={"Host": "shop.apps.example"})
    assert json.load(kept.getresponse())["name"] == "one"
    assert router.agent.reloaded == reloaded
    router.container.restart(timeout=5)
    wait_for_tcp(router.http)
    assert shown() == second  # from the file
    kept.close()
    route(serving=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        shown()


def test_a_configuration_that_haproxy_refuses_changes_nothing(
    router: RouterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = router.route(router.dyno(1, 21001))
    before = (router.folder / "haproxy.cfg").read_text()
    with monkeypatch.context() as patched:
        text = before.replace("mode http", "mode moon")
        patched.setattr("dynoform.router.agent.base", lambda *_, **__: Base("b" * 16, text))
        for _ in range(2):
            with pytest.raises(RefusedError) as caught:
                router.agent.apply(good)
            assert isinstance(caught.value, DynoformError)
    assert router.get("shop.localhost").status == 200
    assert (router.folder / "haproxy.cfg").read_text() == before
    assert router.agent.apply(good) in {True, False}
    assert router.agent.apply(good) is False


def test_a_router_that_restarts_serves_its_last_routes_at_once(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001))

    def back() -> float:
        router.container.kill()
        router.container.start()
        started = time.monotonic()
        wait_for_tcp(router.http)
        assert router.get("shop.localhost").status == 200
        return time.monotonic() - started

    assert best(5, back) < 5


def test_a_router_with_a_damaged_configuration_starts_and_is_mended(router: RouterUnderTest) -> None:
    router.container.kill()
    (router.folder / "haproxy.cfg").write_text("global\n    nonsense\n")
    router.container.start()
    wait_for_tcp(router.http)
    assert router.get("localhost", tls=True).status == 200
    assert router.get("shop.localhost").status == 503
    router.route(router.dyno(1, 21001))
    assert router.get("shop.localhost").status == 200


def test_a_stop_lets_the_request_in_flight_finish(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001))
    with subprocess.Popen(
        ["curl", "-s", "-N", "-H", "Host: shop.localhost", f"http://127.0.0.1:{router.http}/stream"],
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdout is not None
        assert client.stdout.read(3) == b"one"
        router.container.stop(timeout=10)
        assert client.stdout.read() == b"two"
        assert client.wait(10) == 0

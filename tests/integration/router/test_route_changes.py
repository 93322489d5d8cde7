"""Changes of routes against real HAProxy: by its runtime API, the file on disk as memory, and no request lost."""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dynoform.domain.routes import RoutedApp, Routes, WebDyno, compute, sticky
from dynoform.journal import Journal
from dynoform.router.agent import Agent
from dynoform.router.gate import Gate
from dynoform.router.rendering import MOUNT
from tests.integration.engine_parts import parts
from tests.integration.router.test_router import logplex, router
from tests.integration.router.under_test import DYNOS, HOLD_SECONDS, RouterUnderTest

__all__ = ["logplex", "parts", "router"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@contextmanager
def load(router: RouterUnderTest, *hosts: str) -> Iterator[list[str]]:
    """Four clients who ask all the time; what went wrong, which is whole after the block."""
    failures: list[str] = []
    done = threading.Event()

    def keep_asking(number: int) -> None:
        while not done.is_set():
            try:
                answer = router.get(hosts[number % len(hosts)])
                if answer.status != 200:
                    failures.append(f"status {answer.status}")
            except OSError as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        done.set()
        for thread in threads:
            thread.join(20)


def test_reloads_under_load_lose_no_request(router: RouterUnderTest) -> None:
    router.route(router.dyno(1, 21001), router.dyno(1, 21002, router.blog), router.dyno(2, 21001, router.blog))
    with load(router, "shop.localhost", "blog.localhost") as failures:
        for _ in range(8):
            assert router.agent.master.reload().succeeded
            time.sleep(0.1)
    assert failures == []


def test_dynos_come_and_go_under_load_without_a_reload_or_a_lost_request(router: RouterUnderTest) -> None:
    one, two, three = router.dyno(1, 21001), router.dyno(2, 21002), router.dyno(3, 21001)
    successor = WebDyno(uuid.uuid4(), router.shop, 1, "up", DYNOS, 21002)
    router.route(one)
    reloaded = router.agent.reloaded
    turns = [[one, two], [two, three], [one, two, three], [two], [one], [one, successor], [successor]]
    with load(router, "shop.localhost") as failures:
        for turn in 3 * turns:
            wanted = router.route(*turn)
            assert in_force(router, wanted)
            time.sleep(0.05)
    assert failures == []
    assert router.agent.reloaded == reloaded
    assert {json.loads(router.get("shop.localhost").text)["name"] for _ in range(20)} == {"two"}


def in_force(router: RouterUnderTest, wanted: Routes) -> bool:
    """Whether disk and memory say the same, and that is what is wanted."""
    master, text = router.agent.master, (router.folder / "hosts.map").read_text()
    assert dict(line.split(" ", 1) for line in text.splitlines()) == master.hosts(MOUNT / "hosts.map")
    file = (router.folder / "haproxy.cfg").read_text()
    on_disk = set(re.findall(r"^    server (web\.\S+) (\S+):(\d+)", file, re.MULTILINE))
    serving = {
        (name, one.address, str(one.port))
        for found in master.servers().values()
        for name, one in found.items()
        if one.serves and name.startswith("web.")
    }
    own = [one for route in wanted.apps.values() if route.is_own for one in route.servers]
    assert on_disk == serving == {(one.name, one.address, str(one.port)) for one in own}
    return not router.agent.apply(wanted)


def test_apps_that_grow_and_shrink_cost_no_reload(router: RouterUnderTest) -> None:
    router.route()
    apps = [RoutedApp(uuid.uuid4(), f"app-{number}") for number in range(20)]

    def grow(number: int) -> Routes:
        dynos = [router.dyno(each, 21000 + each, app.id) for app in apps[:number] for each in (1, 2)]
        return compute([*apps, RoutedApp(router.shop, "shop")], [*dynos, router.dyno(1, 21001)], "localhost")

    router.agent.apply(grow(1))
    reloaded = router.agent.reloaded
    with load(router, "shop.localhost", "app-0.localhost") as failures:
        for number in range(1, len(apps) + 1):
            router.agent.apply(grow(number))
        assert in_force(router, grow(len(apps)))
    assert failures == []
    assert {json.loads(router.get(f"{apps[-1].name}.localhost").text)["name"] for _ in range(30)} == {"one", "two"}
    router.agent.apply(grow(0))
    assert in_force(router, grow(0))
    assert router.agent.reloaded == reloaded


def test_what_an_agent_that_was_killed_left_half_done_is_done(router: RouterUnderTest) -> None:
    one, two = router.dyno(1, 21001), router.dyno(2, 21002)
    others = [RoutedApp(router.blog, "blog"), RoutedApp(router.empty, "empty")]
    wanted = compute([RoutedApp(router.shop, "shop", affinity=True), *others], [one, two], "localhost")
    router.agent.apply(wanted)
    reloaded, backend = router.agent.reloaded, sticky(router.shop)
    # It wrote the files, and ended in the middle of telling HAProxy.
    stray = "add server {0}/web.9:dead 127.0.0.1:1 weight 8", "set server {0}/web.9:dead state ready"
    master = router.agent.master
    assert (
        master.run([*(line.format(backend) for line in stray), f"set server {backend}/{server(two)} state maint"]) == []
    )
    assert (
        master.run([f"set map {MOUNT}/hosts.map /generation {'0' * 32}", f"del map {MOUNT}/hosts.map empty.localhost"])
        == []
    )
    again = Agent(router.agent.store, router.folder, "localhost", Journal("test"))
    assert again.apply(wanted) is True
    router.agent = again
    again.gate = Gate(router.woken.append, Journal("test"), HOLD_SECONDS)
    router.open_gate()
    assert in_force(router, wanted)
    assert again.reloaded == float("-inf") != reloaded
    assert router.get("empty.localhost").status == 503


def test_a_change_costs_the_same_however_many_apps_there_are(
    router: RouterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for number in (10, 3000):
        apps = [RoutedApp(uuid.uuid4(), f"app-{each}") for each in range(number)]
        dynos = [router.dyno(1, 21001, app.id) for app in apps]
        router.agent.apply(compute(apps, dynos, "localhost"))
        ask = router.agent.master._ask

        def noted(command: str, seconds: float, ask: Callable[[str, float], str] = ask) -> str:
            asked.append(command)
            return ask(command, seconds)

        with monkeypatch.context() as patched:
            patched.setattr(router.agent.master, "_ask", noted)
            assert router.agent.apply(compute(apps, [*dynos[1:], router.dyno(1, 21002, apps[0].id)], "localhost"))
        assert json.loads(router.get("app-0.localhost").text)["name"] == "two"
        told = [command for command in asked if not command.startswith(("@1 get ", "@1 del server "))]
        assert [command.split()[1:3] for command in told] == 2 * [["set", "map"]], told
        asked.clear()
    router.route()


def server(dyno: WebDyno) -> str:
    """Its name in HAProxy."""
    return f"web.{dyno.number}:{dyno.id.hex[:8]}"

import random
import uuid
from dataclasses import replace

import pytest

from dynoform.domain.routes import (
    LONE,
    SEVERAL,
    AppRoute,
    CustomDomain,
    RoutedApp,
    Routes,
    Server,
    WebDyno,
    compute,
    page_urls,
)

LOCAL = {"localhost", "127.0.0.1", "api.localhost", "registry.localhost"}
A, B = uuid.UUID(int=0xA), uuid.UUID(int=0xB)


def dyno(app: uuid.UUID, number: int, port: int | None, state: str = "up", marker: int = 0) -> WebDyno:
    identity = uuid.UUID(int=(0x1000 * number + marker) << 96)
    return WebDyno(identity, app, number, state, "172.29.0.1" if port else None, port)


def leads(found: Routes) -> dict[str, str]:
    """Host → what answers there, with the app if it is one's."""
    return dict.fromkeys(found.api, "api") | {
        host: f"{route.app_id}|{route.backend}" for route in found.apps.values() for host in route.hosts
    }


def test_a_host_leads_to_the_apps_dynos() -> None:
    found = compute([RoutedApp(A, "shop")], [dyno(A, 1, 20001), dyno(A, 2, 20002)], "localhost")
    servers = (Server("web.1:00001000", "172.29.0.1", 20001), Server("web.2:00002000", "172.29.0.1", 20002))
    assert found.apps == {A: AppRoute(A, SEVERAL, ("shop.localhost",), servers)}


@pytest.mark.parametrize(
    ("dynos", "lone"),
    [
        ([dyno(A, 1, 20001)], True),
        ([dyno(A, 2, 20001)], True),
        ([dyno(A, 1, 20001), dyno(A, 1, 20002, marker=1)], True),
        ([dyno(A, 1, 20001), dyno(A, 1, 20002, marker=1), dyno(A, 1, 20003, marker=2)], False),
        ([dyno(A, 1, 20001), dyno(A, 2, 20002)], False),
    ],
)
def test_a_dyno_alone_or_beside_its_successor_needs_no_other_to_ask(dynos: list[WebDyno], lone: bool) -> None:
    found = compute([RoutedApp(A, "shop")], dynos, "localhost")
    assert found.apps[A].backend == (LONE if lone else SEVERAL)
    assert len(found.apps[A].servers) == len(dynos)
    sticky = compute([RoutedApp(A, "shop", affinity=True)], dynos, "localhost")
    assert sticky.apps[A].backend == (LONE if lone else f"sticky_{A}")


def test_the_routes_of_single_apps_are_exchanged() -> None:
    apps = [RoutedApp(A, "shop"), RoutedApp(B, "blog")]
    before, after = compute(apps, [dyno(A, 1, 20001)], "localhost"), compute(apps[:1], [], "localhost")
    assert before.changed({A: after.apps[A], B: None}) == after
    assert before.changed({B: None, uuid.UUID(int=0xC): None}).apps == {A: before.apps[A]}
    assert before.changed({}) is before


def test_equal_facts_in_any_order_give_equal_routes() -> None:
    apps = [RoutedApp(uuid.UUID(int=n), f"app{n}") for n in range(20)]
    dynos = [dyno(app.id, n, 20000 + n) for app in apps for n in range(1, 4)]
    first = compute(apps, dynos, "localhost")
    for _ in range(5):
        random.shuffle(apps)
        random.shuffle(dynos)
        assert compute(apps, dynos, "localhost") == first


def test_two_releases_of_one_dyno_are_told_apart() -> None:
    dynos = [dyno(A, 1, 20001), dyno(A, 1, 20002, marker=1)]
    servers = compute([RoutedApp(A, "shop")], dynos, "localhost").apps[A].servers
    assert [(server.name, server.dyno) for server in servers] == [
        ("web.1:00001000", "web.1"),
        ("web.1:00001001", "web.1"),
    ]


def test_a_dyno_on_its_way_out_serves_until_its_address_is_taken_away() -> None:
    assert compute([RoutedApp(A, "shop")], [dyno(A, 1, 20001, "down")], "localhost").apps[A].servers
    assert not compute([RoutedApp(A, "shop")], [dyno(A, 1, None, "down")], "localhost").apps[A].servers


@pytest.mark.parametrize(
    ("dynos", "maintenance", "backend"),
    [
        ([], False, "no_dynos"),
        ([dyno(A, 1, None, "down")], False, "no_dynos"),
        ([dyno(A, 1, None, "starting")], False, "held"),
        ([dyno(A, 1, None, "idle")], False, "held"),
        ([dyno(A, 1, None, "idle")], True, "maintenance"),
        ([dyno(A, 1, None, "crashed"), dyno(A, 2, None, "starting")], False, "held"),
        ([dyno(A, 1, None, "crashed")], False, "crashed"),
        ([dyno(A, 1, None, "crashed"), dyno(A, 2, 20001)], False, LONE),
        ([dyno(A, 1, 20001)], True, "maintenance"),
        ([dyno(B, 1, 20001)], False, "no_dynos"),
    ],
)
def test_an_app_without_serving_dynos_has_a_page(dynos: list[WebDyno], maintenance: bool, backend: str) -> None:
    found = compute([RoutedApp(A, "shop", maintenance)], dynos, "localhost")
    assert leads(found)["shop.localhost"] == f"{A}|{backend}"
    assert bool(found.apps[A].servers) is (backend == LONE)


def test_an_app_without_code_has_a_page_of_its_own_kind() -> None:
    app = RoutedApp(A, "shop", blank=True)
    assert compute([app], [], "localhost").apps[A].backend == "blank"
    assert compute([app], [dyno(A, 1, None, "starting")], "localhost").apps[A].backend == "held"
    assert compute([replace(app, maintenance=True)], [], "localhost").apps[A].backend == "maintenance"


@pytest.mark.parametrize(
    ("domain", "hosts"),
    [
        ("localhost", LOCAL),
        (
            "paas.example",
            {*LOCAL, "api.localhost.paas.example", "registry.localhost.paas.example", "registry.paas.example"},
        ),
    ],
)
def test_the_api_has_its_hosts(domain: str, hosts: set[str]) -> None:
    assert leads(compute([], [], domain)) == dict.fromkeys(hosts, "api")


def test_no_app_takes_the_apis_host() -> None:
    found = compute([RoutedApp(A, "api")], [dyno(A, 1, 20001)], "localhost")
    assert (leads(found)["api.localhost"], found.apps[A].hosts) == ("api", ())


def test_custom_domains_lead_to_their_app_and_wildcards_to_all_below() -> None:
    domains = [CustomDomain("www.example.com", A), CustomDomain("*.example.com", B), CustomDomain("gone.example", A)]
    apps = [RoutedApp(A, "shop"), RoutedApp(B, "blog", maintenance=True)]
    hosts = leads(compute(apps, [dyno(A, 1, 20001)], "localhost", domains))
    assert hosts["www.example.com"] == hosts["shop.localhost"] == f"{A}|{LONE}"
    assert hosts[".example.com"] == f"{B}|maintenance"


def test_no_custom_domain_takes_the_platforms_hosts_or_outlives_its_app() -> None:
    domains = [CustomDomain("api.localhost", A), CustomDomain("blog.localhost", A), CustomDomain("lost.example", B)]
    hosts = leads(compute([RoutedApp(A, "shop"), RoutedApp(B, "blog")], [], "localhost", domains))
    assert hosts["api.localhost"] == "api"
    assert hosts["blog.localhost"] == f"{B}|no_dynos"
    assert "lost.example" not in leads(compute([RoutedApp(A, "shop")], [], "localhost", domains))


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://bucket.example/error.html", True),
        (" http://x.example/a?b=c&d=%20#e ", True),
        ("//x.example/a", True),
        ("/error.html", False),
        ("javascript:alert(1)", False),
        ("https://x.example/a b", False),
        ('https://x.example/"onload=alert(1)', False),
        ("https://x.example/<b>", False),
        ("https://x.example/\nshop.localhost x|app_x", False),
        ("https://x.example/" + "a" * 2000, False),
    ],
)
def test_pages_of_an_apps_own_are_urls_and_nothing_else(url: str, taken: bool) -> None:
    for name in ("ERROR_PAGE_URL", "MAINTENANCE_PAGE_URL"):
        assert page_urls({name: url, "OTHER": "https://x.example/"}) == ({name: url.strip()} if taken else {})


def test_pages_of_an_apps_own_stand_beside_the_hosts() -> None:
    app = RoutedApp(
        A, "shop", pages=(("MAINTENANCE_PAGE_URL", "https://x.example/m"), ("ERROR_PAGE_URL", "https://x/e"))
    )
    found = compute([app, RoutedApp(B, "blog")], [dyno(A, 1, 20001)], "localhost").apps
    assert found[A].pages == ((f"/error/{A}", "https://x/e"), (f"/maintenance/{A}", "https://x.example/m"))
    assert found[B].pages == ()


def test_where_clients_stay_with_a_dyno_there_is_a_backend_for_it() -> None:
    app = RoutedApp(A, "shop", affinity=True)
    one, two = ([dyno(A, number, 20000 + number) for number in range(1, most + 1)] for most in (1, 2))
    assert compute([app], one, "localhost").apps[A].backend == "lone"
    assert compute([app], two, "localhost").apps[A].backend == f"sticky_{A}"

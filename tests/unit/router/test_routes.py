import random
import uuid

import pytest

from dynoform.domain.routes import CustomDomain, Pool, RoutedApp, Server, WebDyno, compute, page_urls

LOCAL = {"localhost", "127.0.0.1", "api.localhost", "registry.localhost"}
A, B = uuid.UUID(int=0xA), uuid.UUID(int=0xB)


def dyno(app: uuid.UUID, number: int, port: int | None, state: str = "up", marker: int = 0) -> WebDyno:
    identity = uuid.UUID(int=(0x1000 * number + marker) << 96)
    return WebDyno(identity, app, number, state, "172.29.0.1" if port else None, port)


def test_a_host_leads_to_the_apps_dynos() -> None:
    found = compute([RoutedApp(A, "shop")], [dyno(A, 1, 20001), dyno(A, 2, 20002)], "localhost")
    assert dict(found.hosts)["shop.localhost"] == f"{A}|app_{A}"
    servers = (Server("web.1:00001000", "172.29.0.1", 20001), Server("web.2:00002000", "172.29.0.1", 20002))
    assert found.pools == (Pool(A, servers),)


def test_equal_facts_in_any_order_give_equal_routes() -> None:
    apps = [RoutedApp(uuid.UUID(int=n), f"app{n}") for n in range(20)]
    dynos = [dyno(app.id, n, 20000 + n) for app in apps for n in range(1, 4)]
    first = compute(apps, dynos, "localhost")
    for _ in range(5):
        random.shuffle(apps)
        random.shuffle(dynos)
        assert compute(apps, dynos, "localhost") == first


def test_two_releases_of_one_dyno_are_told_apart() -> None:
    (pool,) = compute([RoutedApp(A, "shop")], [dyno(A, 1, 20001), dyno(A, 1, 20002, marker=1)], "localhost").pools
    assert [server.name for server in pool.servers] == ["web.1:00001000", "web.1:00001001"]


def test_a_dyno_on_its_way_out_serves_until_its_address_is_taken_away() -> None:
    assert compute([RoutedApp(A, "shop")], [dyno(A, 1, 20001, "down")], "localhost").pools
    assert not compute([RoutedApp(A, "shop")], [dyno(A, 1, None, "down")], "localhost").pools


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
        ([dyno(A, 1, None, "crashed"), dyno(A, 2, 20001)], False, f"app_{A}"),
        ([dyno(A, 1, 20001)], True, "maintenance"),
        ([dyno(B, 1, 20001)], False, "no_dynos"),
    ],
)
def test_an_app_without_serving_dynos_has_a_page(dynos: list[WebDyno], maintenance: bool, backend: str) -> None:
    found = compute([RoutedApp(A, "shop", maintenance)], dynos, "localhost")
    assert dict(found.hosts)["shop.localhost"] == f"{A}|{backend}"
    assert [pool.backend for pool in found.pools] == ([backend] if backend.startswith("app_") else [])


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
    assert dict(compute([], [], domain).hosts) == dict.fromkeys(hosts, "-|api")


def test_no_app_takes_the_apis_host() -> None:
    found = compute([RoutedApp(A, "api")], [dyno(A, 1, 20001)], "localhost")
    assert dict(found.hosts)["api.localhost"] == "-|api"


def test_custom_domains_lead_to_their_app_and_wildcards_to_all_below() -> None:
    domains = [CustomDomain("www.example.com", A), CustomDomain("*.example.com", B), CustomDomain("gone.example", A)]
    apps = [RoutedApp(A, "shop"), RoutedApp(B, "blog", maintenance=True)]
    hosts = dict(compute(apps, [dyno(A, 1, 20001)], "localhost", domains).hosts)
    assert hosts["www.example.com"] == hosts["shop.localhost"] == f"{A}|app_{A}"
    assert hosts[".example.com"] == f"{B}|maintenance"


def test_no_custom_domain_takes_the_platforms_hosts_or_outlives_its_app() -> None:
    domains = [CustomDomain("api.localhost", A), CustomDomain("blog.localhost", A), CustomDomain("lost.example", B)]
    hosts = dict(compute([RoutedApp(A, "shop"), RoutedApp(B, "blog")], [], "localhost", domains).hosts)
    assert hosts["api.localhost"] == "-|api"
    assert hosts["blog.localhost"] == f"{B}|no_dynos"
    assert "lost.example" not in dict(compute([RoutedApp(A, "shop")], [], "localhost", domains).hosts)


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://bucket.example/error.html", True),
        (" http://x.example/a?b=c&d=%20#e ", True),
        ("//x.example/a", False),
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
    app = RoutedApp(A, "shop", error_page="https://x.example/?a&b", maintenance_page="https://x.example/m")
    found = compute([app, RoutedApp(B, "blog")], [dyno(A, 1, 20001), dyno(B, 1, 20002)], "localhost")
    assert found.pages == ((f"/error/{A}", "https://x.example/?a&amp;b"), (f"/maintenance/{A}", "https://x.example/m"))
    assert [pool.error_page for pool in found.pools] == [True, False]

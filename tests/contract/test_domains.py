"""Domains: Heroku's rules for host names, and what routers make of them."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from dynoform.api.services import Services
from dynoform.domain import certificates
from dynoform.router import rows
from dynoform.store import acme
from dynoform.store.driver import SmallStore
from dynoform.store.session import Store
from dynoform.store.tables import Domain
from tests.contract.test_sni_endpoints import pair

FIELDS = {
    "acm_status", "acm_status_reason", "app", "cname", "created_at", "hostname", "id", "kind", "sni_endpoint", "status",
    "updated_at",
}  # fmt: skip


def add(client: httpx.Client, app: str, hostname: str) -> httpx.Response:
    return client.post(f"/apps/{app}/domains", json={"hostname": hostname, "sni_endpoint": None})


@pytest.fixture
def other(client: httpx.Client) -> str:
    return str(client.post("/apps", json={"name": "other"}).raise_for_status().json()["name"])


def test_an_app_has_its_own_domain(client: httpx.Client, app: str) -> None:
    (own,) = client.get(f"/apps/{app}/domains").json()
    assert set(own) == FIELDS
    assert (own["hostname"], own["kind"], own["cname"], own["status"]) == (
        "myapp.localhost",
        "heroku",
        None,
        "succeeded",
    )
    assert client.get(f"/apps/{app}/domains/myapp.localhost").json() == own
    answer = client.delete(f"/apps/{app}/domains/{own['id']}")
    message = "myapp.localhost is the app's own domain and cannot be removed"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    client.patch(f"/apps/{app}", json={"name": "renamed"}).raise_for_status()
    assert client.get("/apps/renamed/domains").json()[0]["hostname"] == "renamed.localhost"
    assert client.get("/apps/renamed/domains").json()[0]["id"] == own["id"]


def test_a_domain_is_added_shown_and_removed(client: httpx.Client, app: str) -> None:
    answer = add(client, app, "WWW.Example.com.")
    assert answer.status_code == 201
    domain = answer.json()
    assert set(domain) == FIELDS
    assert (domain["hostname"], domain["kind"], domain["sni_endpoint"]) == ("www.example.com", "custom", None)
    label, _, parent = domain["cname"].partition(".")
    assert (len(label) > 30, len(label) < 64, parent) == (True, True, "localhost")
    for reference in (domain["id"], "www.example.com", "WWW.example.com"):
        assert client.get(f"/apps/{app}/domains/{reference}").json() == domain
    assert {each["hostname"] for each in client.get(f"/apps/{app}/domains").json()} == {
        "myapp.localhost",
        "www.example.com",
    }
    assert client.delete(f"/apps/{app}/domains/www.example.com").json() == domain
    answer = client.get(f"/apps/{app}/domains/www.example.com")
    assert answer.json() == {"id": "not_found", "resource": "domain", "message": "Couldn't find that domain."}


def test_a_domain_is_pending_until_every_router_has_it(client: httpx.Client, app: str, small_store: SmallStore) -> None:
    url = f"/apps/{app}/domains/www.example.com"
    moment = datetime.now(UTC)
    with small_store.transaction() as connection:
        rows.announce(connection, "fast", moment)
        rows.announce(connection, "slow", moment)
    assert add(client, app, "www.example.com").json()["status"] == "pending"
    with small_store.transaction() as connection:
        rows.announce(connection, "fast", datetime.now(UTC))
    assert client.get(url).json()["status"] == "pending"
    with small_store.transaction() as connection:
        rows.announce(connection, "slow", datetime.now(UTC))
        rows.announce(connection, "gone", moment - timedelta(hours=1))
    assert client.get(url).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("hostname", "message"),
    [
        ("", "Hostname '' is invalid"),
        ("a b.com", "Hostname 'a b.com' is invalid"),
        ("ex*mple.com", "Hostname 'ex*mple.com' is invalid"),
        ("*.*.example.com", "Hostname '*.*.example.com' is invalid"),
        ("-a.example.com", "Hostname '-a.example.com' is invalid"),
        ("münchen.example", "Hostname 'münchen.example' is invalid"),
        ("a..example.com", "Hostname 'a..example.com' is invalid"),
        ("www.example.com\n", "Hostname 'www.example.com\\n' is invalid"),
        ("www.example.com/x", "Hostname 'www.example.com/x' is invalid"),
        ("x" * 64 + ".com", f"Hostname '{'x' * 60}' is invalid"),
        ("a." * 127 + "com", "Hostname 'a.a."),
        ("example", "Hostname example is invalid: it needs a domain, as in www.example.com"),
        ("*.com", "Hostname *.com is invalid: it needs a domain"),
        ("127.0.0.1", "Hostname 127.0.0.1 is invalid: it needs a domain"),
        ("localhost", "Hostname localhost is invalid: it needs a domain"),
        ("api.localhost", "Hostname api.localhost is reserved: it belongs to the platform"),
        ("*.localhost", "Hostname *.localhost is invalid"),
        ("shop.myapp.localhost", "Hostname shop.myapp.localhost is reserved: it belongs to the platform"),
    ],
)
def test_a_wrong_host_name_is_refused(client: httpx.Client, app: str, hostname: str, message: str) -> None:
    answer = add(client, app, hostname)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)


def test_a_host_name_has_one_app(client: httpx.Client, stranger: httpx.Client, app: str, other: str) -> None:
    add(client, app, "www.example.com").raise_for_status()
    again = add(client, app, "www.example.com")
    assert (again.status_code, again.json()["message"]) == (422, "Domain www.example.com already added to this app")
    for who, name in ((client, other), (stranger, stranger.post("/apps", json={"name": "bobs"}).json()["name"])):
        answer = add(who, name, "www.example.com")
        assert answer.status_code == 422
        assert answer.json()["message"] == "www.example.com is currently in use by another app."


def test_a_wildcard_and_names_below_it_have_one_owner(
    client: httpx.Client, stranger: httpx.Client, app: str, other: str
) -> None:
    bobs = stranger.post("/apps", json={"name": "bobs"}).json()["name"]
    add(client, app, "a.b.example.com").raise_for_status()
    for wildcard in ("*.example.com", "*.b.example.com"):
        assert add(stranger, bobs, wildcard).json()["message"] == f"{wildcard} is currently in use by another app."
    add(stranger, bobs, "*.c.example.com").raise_for_status()
    add(client, other, "*.b.example.com").raise_for_status()
    for name in ("x.b.example.com", "x.y.b.example.com", "*.y.b.example.com"):
        assert add(stranger, bobs, name).json()["message"] == f"{name} is currently in use by another app."
    add(stranger, bobs, "x.example.com").raise_for_status()
    add(stranger, bobs, "xb.example.com").raise_for_status()


def test_of_two_at_once_one_gets_the_name(client: httpx.Client, app: str, other: str) -> None:
    for names in (("race.example.com",) * 2, ("*.race.example.org", "a.race.example.org")):
        answers: list[int] = []

        def ask(app: str, name: str, answers: list[int] = answers) -> None:
            answers.append(add(client, app, name).status_code)

        threads = [threading.Thread(target=ask, args=pair) for pair in zip((app, other), names, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ([201, 422] if len(set(names)) == 1 else [201, 201])


def test_a_domain_is_given_a_certificate(client: httpx.Client, app: str) -> None:
    endpoint = client.post(f"/apps/{app}/sni-endpoints", json=pair("www.example.com")).raise_for_status().json()
    body = {"hostname": "www.example.com", "sni_endpoint": endpoint["name"]}
    domain = client.post(f"/apps/{app}/domains", json=body).raise_for_status().json()
    assert domain["sni_endpoint"] == {"id": endpoint["id"], "name": endpoint["name"]}
    assert client.get(f"/apps/{app}/sni-endpoints/{endpoint['name']}").json()["domains"] == ["www.example.com"]
    url = f"/apps/{app}/domains/www.example.com"
    assert client.patch(url, json={"sni_endpoint": None}).json()["sni_endpoint"] is None
    assert client.patch(url, json={"sni_endpoint": endpoint["id"]}).json()["sni_endpoint"]["name"] == endpoint["name"]
    answer = client.patch(url, json={"sni_endpoint": "nothing-1"})
    assert (answer.status_code, answer.json()["resource"]) == (404, "sni_endpoint")
    client.delete(f"/apps/{app}/sni-endpoints/{endpoint['id']}").raise_for_status()
    assert client.get(url).json()["sni_endpoint"] is None


def test_a_list_of_domains_comes_in_pages(client: httpx.Client, app: str, store: Store) -> None:
    app_id = client.get(f"/apps/{app}").json()["id"]
    with store.transaction() as session:
        session.add_all(Domain(app_id=app_id, hostname=f"h{n:03}.example.com", cname="x") for n in range(999))
    first = client.get(f"/apps/{app}/domains", headers={"Range": "id ..; max=600"})
    second = client.get(f"/apps/{app}/domains", headers={"Range": first.headers["Next-Range"]})
    assert (first.status_code, second.status_code) == (206, 200)
    names = [each["hostname"] for answer in (first, second) for each in answer.json()]
    assert sorted(names) == sorted({*(f"h{n:03}.example.com" for n in range(999)), "myapp.localhost"})
    ids = [each["id"] for answer in (first, second) for each in answer.json()]
    assert ids == sorted(ids)
    header = {"Range": f"id {ids[1]}..{ids[4]}[; max=2, order=desc"}
    latest = client.get(f"/apps/{app}/domains", headers=header)
    assert [each["id"] for each in latest.json()] == [ids[3], ids[2]]
    rest = client.get(f"/apps/{app}/domains", headers={"Range": latest.headers["Next-Range"]})
    assert [each["id"] for each in rest.json()] == [ids[1]]
    assert len(client.get(f"/apps/{app}/domains", headers={"Range": "id ..; max=1000;"}).json()) == 1000
    add(client, app, "one.more.example.com").raise_for_status()
    answer = add(client, app, "too.many.example.com")
    message = "myapp has 1000 domains, more are not possible"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    assert client.get(f"/apps/{app}/domains", headers={"Range": "kind .."}).status_code == 416


def test_a_deleted_app_frees_its_domains(client: httpx.Client, app: str, other: str) -> None:
    add(client, app, "www.example.com").raise_for_status()
    client.delete(f"/apps/{app}").raise_for_status()
    add(client, other, "www.example.com").raise_for_status()


def test_strangers_see_and_change_nothing(client: httpx.Client, stranger: httpx.Client, app: str) -> None:
    add(client, app, "www.example.com").raise_for_status()
    url = f"/apps/{app}/domains"
    assert stranger.get(url).status_code == 404
    assert add(stranger, app, "b.example.com").status_code == 404
    assert stranger.get(f"{url}/www.example.com").status_code == 404
    assert stranger.patch(f"{url}/www.example.com", json={"sni_endpoint": None}).status_code == 404
    assert stranger.delete(f"{url}/www.example.com").status_code == 404


def test_acm_is_switched_on_and_off(client: httpx.Client, app: str, store: Store) -> None:
    add(client, app, "www.example.com").raise_for_status()
    assert client.get(f"/apps/{app}").json()["acm"] is False
    answer = client.patch(f"/apps/{app}/acm", json={"acm_refresh": True})
    message = "Automated Certificate Management is not enabled for this app"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    assert client.post(f"/apps/{app}/acm", json={}).json()["acm"] is True
    assert client.get(f"/apps/{app}").json()["acm"] is True
    statuses = set_status(store, "failed")
    assert client.get(f"/apps/{app}/domains/www.example.com").json()["acm_status"] == statuses
    client.patch(f"/apps/{app}/acm", json={"acm_refresh": True}).raise_for_status()
    assert client.get(f"/apps/{app}/domains/www.example.com").json()["acm_status"] is None
    set_status(store, "cert issued")
    client.patch(f"/apps/{app}/acm", json={"acm_refresh": True}).raise_for_status()
    assert client.get(f"/apps/{app}/domains/www.example.com").json()["acm_status"] == "cert issued"
    assert client.delete(f"/apps/{app}/acm").json()["acm"] is False
    assert client.get(f"/apps/{app}/domains/www.example.com").json()["acm_status"] is None


def test_what_acm_manages_is_not_a_users_to_change(client: httpx.Client, app: str, store: Store) -> None:
    add(client, app, "www.example.com").raise_for_status()
    own = client.post(f"/apps/{app}/sni-endpoints", json=pair("www.example.com")).raise_for_status().json()
    client.post(f"/apps/{app}/acm", json={}).raise_for_status()
    url, message = (
        f"/apps/{app}/domains/www.example.com",
        "www.example.com is managed by ACM: run certs:auto:disable first",
    )
    body = {"hostname": "b.example.com", "sni_endpoint": own["name"]}
    changes = (client.patch(url, json={"sni_endpoint": own["name"]}), client.patch(url, json={"sni_endpoint": None}))
    for answer in changes:
        assert (answer.status_code, answer.json()["message"]) == (422, message)
    answer = client.post(f"/apps/{app}/domains", json=body)
    assert (answer.status_code, answer.json()["message"]) == (422, message.replace("www", "b"))
    endpoint = issue(store, "www.example.com")
    assert client.get(url).json()["sni_endpoint"]["name"] == endpoint
    path, message = (
        f"/apps/{app}/sni-endpoints/{endpoint}",
        f"{endpoint} is managed by ACM: run certs:auto:disable first",
    )
    for answer in (client.delete(path), client.patch(path, json=pair("www.example.com"))):
        assert (answer.status_code, answer.json()["message"]) == (422, message)
    shown = client.get(path).json()
    assert (shown["ssl_cert"]["acm"], shown["domains"]) == (True, ["www.example.com"])
    client.delete(f"/apps/{app}/acm").raise_for_status()
    assert [each["name"] for each in client.get(f"/apps/{app}/sni-endpoints").json()] == [own["name"]]
    assert client.get(url).json()["sni_endpoint"] is None
    client.patch(url, json={"sni_endpoint": own["name"]}).raise_for_status()


def test_the_certificate_of_a_domain_goes_with_it(client: httpx.Client, app: str, store: Store) -> None:
    add(client, app, "www.example.com").raise_for_status()
    client.post(f"/apps/{app}/acm", json={}).raise_for_status()
    issue(store, "www.example.com")
    last = client.delete(f"/apps/{app}/domains/www.example.com").raise_for_status().json()
    assert last["sni_endpoint"] is not None
    assert client.get(f"/apps/{app}/sni-endpoints").json() == []


def test_acm_needs_an_authority(client: httpx.Client, app: str, services: Services) -> None:
    url, configuration = f"/apps/{app}/acm", services.configuration
    object.__setattr__(services, "configuration", replace(configuration, acme_directory=""))
    answer = client.post(url, json={})
    object.__setattr__(services, "configuration", configuration)
    message = "Automated Certificate Management is not set up on this platform. Its operator sets acmeDirectory"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    assert client.get(f"/apps/{app}").json()["acm"] is False


def issue(store: Store, hostname: str) -> str:
    """As the certificate worker does it; returns the endpoint's name."""
    made = pair(hostname)
    read = certificates.read(made["certificate_chain"], made["private_key"], datetime.now(UTC))
    with store.transaction() as session:
        domain = session.query(Domain).filter_by(hostname=hostname).one()
        subject = acme.Subject(domain.id, (hostname,))
        assert acme.install(session, store.configuration, subject, read, made["private_key"])
        session.refresh(domain)
        assert domain.sni_endpoint is not None
        return domain.sni_endpoint.name


def set_status(store: Store, status: str) -> str:
    from sqlalchemy import update

    with store.transaction() as session:
        session.execute(update(Domain).values(acm_status=status))
    return status

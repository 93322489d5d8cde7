"""Certificates: of one's own, and automatic ones."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from dynoform.configuration import Configuration
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.store.session import Store
from dynoform.store.tables import Domain
from tests import acme_platform, pebble
from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI
from tests.integration.certificates import Authority


def endpoints(client: httpx.Client) -> list[dict[str, Any]]:
    """The SNI endpoints of ``myapp``."""
    found: list[dict[str, Any]] = client.get("/apps/myapp/sni-endpoints").raise_for_status().json()
    return found


@pytest.fixture
def files(tmp_path: Path, myapp: str) -> Path:
    """A folder with ``c.crt`` and ``c.key`` for www.example.com."""
    write(tmp_path)
    return tmp_path


@pytest.fixture
def domain(client: httpx.Client, myapp: str) -> None:
    """``www.example.com`` is a domain of ``myapp``."""
    client.post("/apps/myapp/domains", json={"hostname": "www.example.com", "sni_endpoint": None}).raise_for_status()


def write(folder: Path) -> None:
    """Make a new certificate for www.example.com, with its key."""
    authority = Authority()
    certificate, key = authority.issue("www.example.com", "www.example.com")
    (folder / "c.crt").write_bytes(certificate + authority.pem)
    (folder / "c.key").write_bytes(key)


@pytest.fixture
def endpoint(client: httpx.Client, files: Path) -> dict[str, Any]:
    """An SNI endpoint of ``myapp`` with that certificate."""
    body = {"certificate_chain": (files / "c.crt").read_text(), "private_key": (files / "c.key").read_text()}
    made: dict[str, Any] = client.post("/apps/myapp/sni-endpoints", json=body).raise_for_status().json()
    return made


@covers("certs:add c.crt c.key -a myapp")
def test_add_takes_certificate_and_key(heroku: HerokuCLI, client: httpx.Client, files: Path) -> None:
    ran = heroku("certs:add c.crt c.key -a myapp", cwd=files)
    (made,) = endpoints(client)
    assert made["ssl_cert"]["cert_domains"] == ["www.example.com"]
    assert "www.example.com" in ran.text
    assert (files / "c.key").read_text().splitlines()[1] not in str(made)


def test_a_key_of_another_certificate_is_refused(heroku: HerokuCLI, client: httpx.Client, files: Path) -> None:
    (files / "other.key").write_bytes(Authority().issue("www.example.com", "www.example.com")[1])
    heroku("certs:add c.crt other.key -a myapp", cwd=files, code=REFUSED)
    assert endpoints(client) == []


@covers("certs -a myapp", "certs:info -a myapp")
def test_certificates_are_shown(heroku: HerokuCLI, endpoint: dict[str, Any]) -> None:
    listed, info = heroku.each("certs -a myapp", "certs:info -a myapp")
    assert endpoint["name"] in listed.text
    assert "www.example.com" in listed.text
    assert ["Common", "Name(s):", "www.example.com"] in info.table
    assert "test authority" in info.text


@covers("certs:update c.crt c.key -a myapp --confirm myapp")
def test_update_replaces_the_certificate(
    heroku: HerokuCLI, client: httpx.Client, endpoint: dict[str, Any], files: Path
) -> None:
    write(files)
    heroku("certs:update c.crt c.key -a myapp --confirm myapp", cwd=files)
    (now,) = endpoints(client)
    assert now["id"] == endpoint["id"]
    assert now["certificate_chain"] == (files / "c.crt").read_text()


@covers("certs:remove -a myapp --confirm myapp")
def test_remove_removes_the_certificate(heroku: HerokuCLI, client: httpx.Client, endpoint: dict[str, Any]) -> None:
    heroku("certs:remove -a myapp --confirm myapp")
    assert endpoints(client) == []


@covers("domains:update www.example.com --cert tyrannosaurus-1 -a myapp")
def test_a_domain_gets_a_certificate(
    heroku: HerokuCLI, client: httpx.Client, endpoint: dict[str, Any], domain: None
) -> None:
    heroku(f"domains:update www.example.com --cert {endpoint['name']} -a myapp")
    domain = client.get("/apps/myapp/domains/www.example.com").json()
    assert domain["sni_endpoint"]["id"] == endpoint["id"]


@covers("certs:auto:enable -a myapp", "certs:auto:disable -a myapp --confirm myapp", "certs:auto -a myapp")
def test_automatic_certificates_are_turned_on_and_off(heroku: HerokuCLI, client: httpx.Client, domain: None) -> None:
    heroku("certs:auto:enable -a myapp")
    assert client.get("/apps/myapp").json()["acm"] is True
    assert "www.example.com" in heroku("certs:auto -a myapp").text
    heroku("certs:auto:disable -a myapp --confirm myapp")
    assert client.get("/apps/myapp").json()["acm"] is False
    assert "disabled" in heroku("certs:auto -a myapp").text


@pytest.fixture
def issuing(configuration: Configuration, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A certificate worker at work, with pebble as its authority and a router that answers."""
    folder = tmp_path_factory.mktemp("pebble")
    with pebble.running(folder) as authority:
        own = Store(
            acme_platform.settings(configuration, authority, tmp_path_factory.mktemp("secrets")), "test", pool=5
        )
        worker, done = acme_platform.make_worker(own, Journal("certificates")), threading.Event()

        def work() -> None:
            while not done.wait(0.2):
                with suppress(DynoformError):  # a store that is busy is looked at again
                    worker.step()

        thread = threading.Thread(target=work, daemon=True)
        with acme_platform.routed(own, authority.http_port):
            thread.start()
            yield
            done.set()
            thread.join(60)
            worker.close()
        own.close()


@covers("certs:auto:enable -a myapp --wait", "certs:auto:refresh -a myapp")
def test_automatic_certificates_are_got_and_asked_for_again(
    heroku: HerokuCLI, client: httpx.Client, store: Store, domain: None, issuing: None
) -> None:
    waited = heroku("certs:auto:enable -a myapp --wait", seconds=180)
    assert "Your certificate will now be managed by Heroku." in waited.text
    shown = heroku("certs:auto -a myapp")
    assert ["www.example.com", "Cert", "issued"] in [row[:3] for row in shown.table]
    assert ["Common", "Name(s):", "www.example.com"] in shown.table
    assert "Renewal scheduled for" in shown.text
    (endpoint,) = endpoints(client)
    assert ["ACM"] in [row[-1:] for row in heroku("certs -a myapp").table if row[0] == endpoint["name"]]
    wrong = acme_platform.WRONG
    heroku(f"domains:add {wrong} -a myapp")
    deadline = time.monotonic() + 120
    while client.get(f"/apps/myapp/domains/{wrong}").json()["acm_status"] != "failing":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    shown = heroku("certs:auto -a myapp")
    assert f"{wrong} Failing CDN not returning HTTP challenge" in shown.text
    assert "Some domains are failing validation" in shown.text
    with store.transaction() as session:
        session.execute(update(Domain).where(Domain.hostname == wrong).values(acm_status="failed"))
    assert "Some domains failed validation after multiple attempts" in heroku("certs:auto -a myapp").text
    before = client.get(f"/apps/myapp/domains/{wrong}").json()["updated_at"]
    heroku("certs:auto:refresh -a myapp")
    deadline = time.monotonic() + 120
    while (now := client.get(f"/apps/myapp/domains/{wrong}").json())["acm_status"] != "failing":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert now["updated_at"] > before
    heroku("certs:auto:disable -a myapp --confirm myapp")
    assert endpoints(client) == []

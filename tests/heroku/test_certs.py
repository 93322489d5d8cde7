"""Certificates: of one's own, and automatic ones."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from dynoform.store.session import Store
from dynoform.store.tables import Domain
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


@covers("certs:auto:enable -a myapp --wait", "certs:auto:refresh -a myapp")
def test_automatic_certificates_are_asked_for_again(
    heroku: HerokuCLI, client: httpx.Client, store: Store, myapp: str
) -> None:
    heroku("certs:auto:enable -a myapp --wait")
    assert client.get("/apps/myapp").json()["acm"] is True
    heroku("domains:add www.example.com -a myapp")
    with store.transaction() as session:
        session.execute(update(Domain).values(acm_status="failed", acm_status_reason="no address"))
    assert "no address" in heroku("certs:auto -a myapp").text
    heroku("certs:auto:refresh -a myapp")
    domain = client.get("/apps/myapp/domains/www.example.com").json()
    assert (domain["acm_status"], domain["acm_status_reason"]) == (None, None)

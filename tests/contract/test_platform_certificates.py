"""The certificate that an operator brings: handed to the API by the provider, taken over by a router agent."""

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from dynoform.api.services import Services
from dynoform.domain.api_certificates import names
from dynoform.journal import Journal
from dynoform.router.agent import Agent
from dynoform.store.driver import SmallStore
from dynoform.store.session import Store
from dynoform.store.tables import PlatformCertificate
from providers.dynoform.api_certificate import ApiCertificate
from providers.dynoform.engine import Operation
from tests.contract.conftest import Person, serve
from tests.integration.certificates import Authority
from tests.store_fixtures import OPERATOR_KEY

DOMAIN = "apps.example"
PATH = "/dynoform/certificates/api"


@pytest.fixture(scope="module")
def address(services: Services) -> Iterator[str]:
    """An API of a stack on a domain of its own."""
    configuration = replace(services.configuration, domain=DOMAIN)
    with serve(replace(services, configuration=configuration)) as url:
        yield url


def issue(authority: Authority) -> dict[str, str]:
    chain, key = authority.issue("api", *names(DOMAIN))
    return {"certificate_chain": chain.decode(), "private_key": key.decode()}


def test_it_is_served_until_another_one_or_none_is(
    client: httpx.Client, address: str, authority: Authority, small_store: SmallStore, tmp_path: Path
) -> None:
    agent = Agent(small_store, tmp_path, DOMAIN, Journal("test"))
    resource, operation = ApiCertificate(), Operation("urn:test", lambda *_, **__: None)
    api = {"url": address, "caCertPem": authority.pem.decode(), "token": OPERATOR_KEY}

    def inputs(pair: dict[str, str]) -> dict[str, object]:
        return resource.check({"api": api, "chain": pair["certificate_chain"], "key": pair["private_key"]})

    agent.step()
    assert " crt /var/lib/dynoform/router/api.pem" not in (tmp_path / "haproxy.cfg").read_text()
    first, second = issue(authority), issue(authority)
    identifier, state = resource.create(operation, inputs(first))
    assert resource.read(operation, identifier, state) == state
    assert agent.step() is True
    configuration = (tmp_path / "haproxy.cfg").read_text()
    assert "crt /run/secrets/router.pem crt /var/lib/dynoform/router/api.pem alpn" in configuration
    pem = tmp_path / "api.pem"
    assert pem.read_text() == first["certificate_chain"] + first["private_key"]
    assert pem.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pem)
    resource.update(operation, identifier, state, inputs(second))
    assert agent.step() is True
    assert pem.read_text() == second["certificate_chain"] + second["private_key"]
    assert (tmp_path / "haproxy.cfg").read_text() == configuration  # a renewal is no other configuration
    resource.delete(operation, identifier, state)
    assert resource.read(operation, identifier, state) is None
    assert agent.step() is True
    assert not pem.exists()


def test_the_key_is_neither_shown_nor_stored_in_the_clear(
    client: httpx.Client, authority: Authority, store: Store
) -> None:
    pair = issue(authority)
    shown = client.put(PATH, json=pair).raise_for_status().json()
    assert client.get(PATH).json() == shown
    assert set(shown) == {"certificate_chain", "updated_at"}
    with store.transaction() as session:
        row = session.scalars(select(PlatformCertificate)).one()
    assert b"PRIVATE" not in row.private_key
    assert "PRIVATE" not in json.dumps(shown)


def test_it_is_the_operators_alone_and_has_to_fit(client: httpx.Client, person: Person, authority: Authority) -> None:
    message = "You do not have access to the platform's certificates. Only its operator has."
    ann = person("carol")
    for answer in (ann.get(PATH), ann.delete(PATH), ann.put(PATH, json=issue(authority))):
        assert (answer.status_code, answer.json()["message"]) == (403, message)
    assert client.get(PATH).json()["message"] == "Couldn't find that certificate."
    assert client.delete(PATH).status_code == 404
    wrong = client.put(PATH, json={**issue(authority), "private_key": issue(authority)["private_key"]})
    assert (wrong.status_code, wrong.json()["message"]) == (
        422,
        "Pem is invalid / Key doesn't match the PEM certificate",
    )

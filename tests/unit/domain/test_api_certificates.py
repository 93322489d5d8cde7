"""What certificate an operator may bring for the API's names."""

from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain.api_certificates import check, names
from dynoform.errors import InvalidInputError
from tests.integration.certificates import Authority

NOW = datetime.now(UTC)
DOMAIN = "apps.example"
AUTHORITY = Authority()
CHAIN, KEY = (pem.decode() for pem in AUTHORITY.issue("api", *names(DOMAIN)))
ROOT = AUTHORITY.pem.decode()


def test_a_certificate_for_both_names_is_taken_and_its_chain_put_in_order() -> None:
    assert check(ROOT + CHAIN, KEY, DOMAIN, NOW).chain == check(CHAIN + ROOT, KEY, DOMAIN, NOW).chain == CHAIN + ROOT


def test_a_wildcard_is_for_both() -> None:
    chain, key = (pem.decode() for pem in AUTHORITY.issue("api", f"*.localhost.{DOMAIN}"))
    assert check(chain, key, DOMAIN, datetime.now(UTC)).chain == chain


def refusal(chain: str, key: str, domain: str = DOMAIN, now: datetime | None = None) -> str:
    with pytest.raises(InvalidInputError) as caught:
        check(chain, key, domain, now or datetime.now(UTC))
    return str(caught.value)


def test_one_that_is_of_no_use_is_refused_with_the_reason() -> None:
    other, other_key = (pem.decode() for pem in AUTHORITY.issue("api", "api.localhost.apps.example"))
    assert refusal(CHAIN, other_key) == "Pem is invalid / Key doesn't match the PEM certificate"
    missing = "The certificate is for api.localhost.apps.example, not for registry.localhost.apps.example"
    assert refusal(other, other_key) == f"{missing}: get one for that name, too"
    assert refusal(CHAIN, KEY, "localhost") == "it is for a domain of your own, and domain is localhost"
    assert refusal(CHAIN, KEY, now=NOW + timedelta(days=2)).startswith("The certificate expired on ")
    assert refusal(CHAIN, KEY, now=NOW - timedelta(hours=1)).startswith("The certificate is not valid before ")
    assert refusal("nonsense", KEY).startswith("Pem is invalid")
    assert refusal(CHAIN, "nonsense").startswith("Key is invalid")

"""What processes are told by their environment."""

from datetime import timedelta
from pathlib import Path

import pytest

from dynoform.configuration import Configuration
from dynoform.errors import ConfigurationError


def test_webhooks_lead_to_public_addresses_unless_told_otherwise() -> None:
    strict = Configuration.from_environment({})
    assert (strict.webhook_private, strict.webhook_authorities) == (False, None)
    settings = {"DYNOFORM_WEBHOOK_PRIVATE": "true", "DYNOFORM_WEBHOOK_AUTHORITIES": "/run/secrets/webhooks.crt"}
    open_one = Configuration.from_environment(settings)
    assert (open_one.webhook_private, open_one.webhook_authorities) == (True, Path("/run/secrets/webhooks.crt"))


def test_eco_apps_sleep_after_half_an_hour_unless_told_otherwise() -> None:
    assert Configuration.from_environment({}).sleeps_after == timedelta(minutes=30)
    assert Configuration.from_environment({"DYNOFORM_ECO_SLEEPS_AFTER": "5"}).sleeps_after == timedelta(seconds=5)


def test_builds_have_herokus_limits_unless_told_otherwise() -> None:
    usual = Configuration.from_environment({})
    assert (usual.build_seconds, usual.slug_bytes) == (25 * 60, 1024**3)
    other = Configuration.from_environment({"DYNOFORM_BUILD_SECONDS": "60", "DYNOFORM_SLUG_BYTES": "1000000"})
    assert (other.build_seconds, other.slug_bytes) == (60, 1000000)


def test_the_store_is_at_the_platforms_address_unless_each_host_has_it() -> None:
    settings = {"DYNOFORM_PLATFORM_ADDRESS": "10.0.0.1", "DYNOFORM_POSTGRES_PORT": "7401"}
    assert Configuration.from_environment(settings).database_url == (
        "postgresql+psycopg://dynoform@10.0.0.1:7401/dynoform"
    )
    settings |= {"DYNOFORM_STORE_ADDRESS": "172.29.0.1", "DYNOFORM_STORE_AUTHORITY": "/run/secrets/store-ca.crt"}
    assert Configuration.from_environment(settings).database_url == (
        "postgresql+psycopg://dynoform@172.29.0.1:7401/dynoform"
        "?sslmode=verify-full&sslrootcert=%2Frun%2Fsecrets%2Fstore-ca.crt"
    )


def test_the_platforms_own_addresses_are_known() -> None:
    settings = {"DYNOFORM_PLATFORM_ADDRESS": "172.29.4.1", "DYNOFORM_LISTEN_ADDRESS": "127.0.0.1, 203.0.113.7"}
    assert Configuration.from_environment(settings).own_addresses == {"172.29.4.1", "127.0.0.1", "203.0.113.7"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WEBHOOK_PRIVATE", "yes", "DYNOFORM_WEBHOOK_PRIVATE: 'yes' is not a choice — use true or false"),
        ("ECO_SLEEPS_AFTER", "0", "DYNOFORM_ECO_SLEEPS_AFTER: '0' is not a time — use a number of seconds, 1 or more"),
        ("BUILD_SECONDS", "25m", "DYNOFORM_BUILD_SECONDS: '25m' is not a number — use a whole number, 1 or more"),
        ("BACKUP_REPOSITORY", "[]", "DYNOFORM_BACKUP_REPOSITORY: is no JSON object — run bin/dynoform up"),
        ("API_PORT", "0", "DYNOFORM_API_PORT: '0' is not a port — use a number from 1 to 65535"),
        (
            "OLD_STACKS",
            "x",
            "DYNOFORM_OLD_STACKS: Couldn't find that stack (x). Available stacks are: container, dynoform-13"
            " — name stacks that there are",
        ),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Configuration.from_environment({f"DYNOFORM_{name}": value})
    assert str(raised.value) == message

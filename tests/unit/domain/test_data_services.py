"""Databases as add-ons: what is decided without any."""

import hashlib
import hmac
from base64 import b64decode

import pytest

from dynoform.domain import data_services, own_services
from dynoform.domain.data_services import Access
from dynoform.errors import ConflictError, InvalidInputError


def test_what_the_server_keeps_of_a_password_verifies_it() -> None:
    kept = data_services.scram("sesame", b"0123456789abcdef")
    head, salt, keys = kept.replace("SCRAM-SHA-256$", "").replace(":", "$", 1).split("$")
    stored, server = (b64decode(part) for part in keys.split(":"))
    salted = hashlib.pbkdf2_hmac("sha256", b"sesame", b64decode(salt), int(head))
    assert (head, b64decode(salt)) == ("4096", b"0123456789abcdef")
    assert stored == hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert server == hmac.digest(salted, b"Server Key", "sha256")
    assert data_services.scram("sesame") != data_services.scram("sesame"), "each time with another salt"
    assert "sesame" not in kept


def test_addresses_are_urls_that_clients_take() -> None:
    access = Access("172.29.0.1", 15000, "u1", "p1", "d1")
    assert access.postgres_url == "postgres://u1:p1@172.29.0.1:15000/d1"
    assert access.redis_url == "rediss://:p1@172.29.0.1:15000"
    assert "p1" not in repr(access)


def test_each_database_has_a_port_of_its_own() -> None:
    assert data_services.free_port([]) == 15000
    assert data_services.free_port([15000, 15002]) == 15001
    with pytest.raises(ConflictError, match=r"databases: all 1000 ports for them are in use — destroy one"):
        data_services.free_port(range(15000, 16000))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (8_283_750, "7.9 MB"), (2**30, "1.0 GB"), (2**40, "1024.0 GB")],
)  # fmt: skip
def test_sizes_are_readable(count: int, text: str) -> None:
    assert data_services.size(count) == text


def test_settings_of_redis_are_checked() -> None:
    given = {"maxmemory_policy": "allkeys-lru", "timeout": 0, "notify_keyspace_events": "AKE"}
    assert data_services.check_settings(given) == {
        "maxmemory-policy": "allkeys-lru", "timeout": "0", "notify-keyspace-events": "AKE",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Name at least one setting: maxmemory_policy, timeout, notify_keyspace_events"),
        ({"maxmemory_policy": "never"}, "maxmemory_policy must be one of: noeviction, "),
        ({"timeout": -1}, "timeout must be a number of seconds from 0 to 86400"),
        ({"timeout": "soon"}, "timeout must be a number of seconds from 0 to 86400"),
        ({"notify_keyspace_events": 'K"\nFLUSHALL'}, "notify_keyspace_events may have the letters K, E, "),
        ({"dir": "/etc"}, "dir is no setting of heroku-redis"),
    ],
)
def test_a_wrong_setting_is_told(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        data_services.check_settings(given)
    assert str(caught.value).startswith(message)


def test_plans_are_offered_as_they_are() -> None:
    offered = {service.name: [plan.name for plan in service.plans] for service in own_services.SERVICES}
    assert offered["heroku-postgresql"] == [
        "essential-0", "essential-1", "essential-2", "standard-0", "premium-0",
    ]  # fmt: skip
    assert [each.name for each in data_services.PLANS["heroku-postgresql"] if each.has_standby] == ["premium-0"]
    assert offered["heroku-redis"] == ["mini", *(f"premium-{number}" for number in range(6))]
    assert offered["heroku-kafka"] == ["basic-0", "basic-1", "basic-2", "standard-0"]
    assert data_services.plan("heroku-redis", "mini").maximum_connections == 28
    assert data_services.plan("heroku-redis", "premium-0").members == 3
    with pytest.raises(InvalidInputError, match=r"The plan heroku-redis:premium-7 is no longer available"):
        data_services.plan("heroku-redis", "premium-7")


@pytest.mark.parametrize(
    ("present", "steps"),
    [
        (["", "", ""], [["b", "b", "b"]]),
        (["a", "", "a"], [["b", "b", "b"]]),
        (["a", "a", "a"], [["b", "a", "a"], ["b", "b", "a"], ["b", "b", "b"]]),
        (["b", "a", "a"], [["b", "b", "a"], ["b", "b", "b"]]),
        (["b", "b", "b"], [["b", "b", "b"]]),
        (["a"], [["b"]]),
    ],
)
def test_servers_of_a_group_get_another_image_one_by_one(present: list[str], steps: list[list[str]]) -> None:
    assert data_services.one_by_one(present, "b") == steps

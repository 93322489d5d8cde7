"""Webhooks' rules: when again, until when, and to which addresses never."""

from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain import webhooks
from dynoform.domain.public_addresses import is_public

PRIVATE = """
    127.0.0.1 127.9.9.9 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 192.0.0.1
    198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd12:3456::1 fec0::1 ff02::1
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 2002:7f00:1:: 2002:a00:1:: 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
    2001:0:4136:e378:8000:63bf:f5ff:fffe 2001:db8::1 localhost 1.2.3 1.2.3.4.5
"""
EVENT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def pauses(*, until: timedelta) -> list[float]:
    """Seconds between the attempts at a delivery that always fails."""
    now, found = EVENT, []
    for attempts in range(1, 1000):
        after = webhooks.next_attempt("sync", attempts, EVENT, now)
        if after is None or after - EVENT > until:
            return found
        found.append((after - now).total_seconds())
        now = after
    raise AssertionError("it never ends")


def test_pauses_double_up_to_an_hour_with_some_jitter() -> None:
    found = pauses(until=timedelta(hours=72))
    for number, pause in enumerate(found):
        wanted = min(10 * 2**number, 3600)
        assert 0.9 * wanted <= pause <= wanted
    assert len(set(found[10:])) > 10
    assert timedelta(hours=70) < timedelta(seconds=sum(found)) <= timedelta(hours=72)


def test_notify_is_not_tried_again() -> None:
    assert webhooks.next_attempt("notify", 1, EVENT, EVENT) is None


def test_an_old_event_gets_one_attempt() -> None:
    assert webhooks.next_attempt("sync", 1, EVENT, EVENT + timedelta(hours=73)) is None


@pytest.mark.parametrize(("failures", "days", "given_up"), [(19, 30, False), (20, 6, False), (20, 7, True)])
def test_a_webhook_is_given_up_after_many_failures_and_a_week(failures: int, days: int, given_up: bool) -> None:
    assert webhooks.is_given_up(EVENT, failures, EVENT + timedelta(days=days)) is given_up


@pytest.mark.parametrize("address", PRIVATE.split())
def test_what_only_the_platform_reaches_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)
    assert not is_public(address, {"1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111"})


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://1.2.3.4/x", "1.2.3.4"),
        ("https://[::1]:8443/", "::1"),
        ("https://example.com/", None),
        ("https://[fe80::1%25eth0]/", None),
    ],
)
def test_an_address_in_a_url_is_seen(url: str, address: str | None) -> None:
    assert webhooks.literal_address(url) == address

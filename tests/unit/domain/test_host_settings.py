from typing import Any

import pytest

from dynoform.domain import host_settings
from dynoform.errors import InvalidInputError

ONE = {"address": "10.0.0.1"}


def fleet(*roles: str, **fields: Any) -> dict[str, Any]:
    """Hosts with these roles; the first has the platform's services and the fields."""
    hosts: dict[str, Any] = {f"h{n}": {"address": f"10.0.0.{n}", "role": role} for n, role in enumerate(roles, 1)}
    hosts["h1"] |= {"platform": True} | fields
    return hosts


@pytest.mark.parametrize(
    "hosts", [{}, {"one": ONE}, fleet("manager", "worker"), fleet("manager", "manager", "manager", "worker")]
)
def test_hosts_that_can_be_a_stack(hosts: dict[str, Any]) -> None:
    host_settings.check(hosts)


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ({"One": ONE}, "hosts.One: is no host name — use lower-case letters, digits and dashes"),
        ({"one": {}}, "hosts.one: has no address — say where SSH reaches it"),
        ({"one": ONE | {"ip": "x"}}, "hosts.one: has the key ip — a host has address, builder, data, jump, keyFile,"),
        ({"one": ONE | {"user": 1}}, "hosts.one: user is 1 — give text"),
        ({"one": ONE | {"platform": "yes"}}, "hosts.one: platform is 'yes' — use true or false"),
        ({"one": ONE | {"builder": 1}}, "hosts.one: builder is 1 — use true or false"),
        (
            {
                **fleet("manager"),
                "h2": ONE | {"address": "10.0.0.2", "role": "worker", "builder": True, "runtime": "a"},
            },
            "hosts.h2: has builders and a runtime of its own — leave one of the two out",
        ),
        (
            {**fleet("manager"), "h2": ONE | {"address": "10.0.0.2", "role": "worker", "data": True, "runtime": "a"}},
            "hosts.h2: has databases and a runtime of its own — leave one of the two out",
        ),
        ({"one": ONE | {"port": 0}}, "hosts.one: 0 is not a port — use a number from 1 to 65535"),
        ({"one": ONE | {"role": "boss"}}, "hosts.one: has the role 'boss' — use manager or worker"),
        ({"one": ONE | {"runtime": "A B"}}, "hosts.one: has the runtime 'A B' — use lower-case letters"),
        (
            {"one": {"address": "a.example.com"}},
            "hosts.one: 'a.example.com' is not an IPv4 address, by which the other",
        ),
        ({"one": ONE, "two": {"address": "10.0.0.2"}}, "hosts: 0 have the platform's services — set platform: true"),
        (fleet("worker", "manager"), "hosts.h1: has the platform's services and is a worker — make it a manager"),
        (fleet("manager", runtime="acme"), "hosts.h1: has the platform's services and a runtime of its own"),
        (
            fleet("manager", "manager"),
            "hosts: 2 are managers (h1, h2), of which none may be lost more than of one less",
        ),
        (fleet("manager", "worker", address="10.0.0.2"), "hosts.h2: has the private address of h1 — give each its own"),
    ],
)
def test_hosts_that_cannot_say_why(hosts: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        host_settings.check(hosts)
    assert str(caught.value).startswith(message)


def test_ssh_asks_nothing_and_goes_by_the_hosts_own_settings() -> None:
    assert host_settings.ssh_address(ONE) == "ssh://root@10.0.0.1:22"
    own = {"user": "ann", "port": 2222, "keyFile": "/k", "knownHosts": "/known", "jump": "bob@door:22"}
    assert host_settings.ssh_address(ONE | own) == "ssh://ann@10.0.0.1:2222"
    options = host_settings.ssh_options(ONE | own)
    assert options[::2] == ["-o"] * (len(options) // 2)
    *direct, through = options[1::2]
    assert set(direct) == {
        *("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "StrictHostKeyChecking=yes"),
        *("UserKnownHostsFile=/known", "IdentityFile=/k"),
    }
    # The jump host is asked for with the same key, and has to show a known one too.
    words = " ".join(f"-o {option}" for option in direct)
    assert through == f"ProxyCommand=ssh {words} -W '[%h]:%p' ssh://bob@door:22"
    assert "StrictHostKeyChecking=accept-new" in host_settings.ssh_options(ONE)


@pytest.mark.parametrize(
    ("domain", "listen", "message"),
    [
        ("localhost", "0.0.0.0", "domain: localhost is each machine itself"),  # noqa: S104 - as an operator says it
        ("apps.localhost", "0.0.0.0", "domain: apps.localhost is each machine itself"),  # noqa: S104 - the same
        ("apps.example.com", "127.0.0.1", "listenAddress: 127.0.0.1 is reached by each host alone"),
    ],
)
def test_a_stack_on_hosts_that_nobody_could_reach_is_refused(domain: str, listen: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        host_settings.check_reach({"one": ONE}, domain, listen)
    assert str(caught.value).startswith(message)
    host_settings.check_reach({}, domain, listen)
    host_settings.check_reach({"one": ONE}, "apps.example.com", "10.0.0.1")


STORED = {
    "one": {"address": "10.0.0.1", "platform": True},
    "two": {"address": "10.0.0.2"},
    "three": {"address": "10.0.0.3"},
}


def test_the_store_has_a_standby_and_a_third_vote_on_other_hosts() -> None:
    assert host_settings.store_standby("", STORED) == ()
    assert host_settings.store_standby("two", STORED) == ("two",)
    assert host_settings.store_standby(" three , two", STORED) == ("three", "two")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("four", "storeStandby: 'four' is none of the hosts — name some of dynoform:hosts"),
        ("one", "storeStandby: one has the platform's services, and so the first server — name other hosts"),
        (
            "two, two",
            "storeStandby: 'two, two' is not one host, or two — name the standby's host, and one more for a third vote",
        ),
    ],
)
def test_a_standby_of_the_store_that_cannot_be_is_refused(value: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        host_settings.store_standby(value, STORED)
    assert str(raised.value) == message

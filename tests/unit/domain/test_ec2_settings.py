"""A fleet at EC2 as its settings name it: what is planned from them, and what each mistake is told."""

import ipaddress
from typing import Any

import pytest

from dynoform.domain import ec2_settings, host_settings
from dynoform.errors import InvalidInputError

EC2: dict[str, Any] = {
    "region": "eu-central-1",
    "zones": ["eu-central-1a", "eu-central-1c"],
    "adminNetworks": ["203.0.113.0/24"],
    "publicKey": "ssh-ed25519 AAAA",
}
HOSTS: dict[str, Any] = {
    "one": {"zone": "eu-central-1a", "platform": True},
    "two": {"zone": "eu-central-1c", "role": "worker"},
}
PORTS = ec2_settings.Ports((80, 443), (7400, 7406))


def test_a_zones_subnet_stays_when_other_zones_come_or_go() -> None:
    assert ec2_settings.subnets(EC2) == {"eu-central-1a": "10.20.0.0/20", "eu-central-1c": "10.20.32.0/20"}
    fewer = EC2 | {"zones": ["eu-central-1c"]}
    assert ec2_settings.subnets(fewer) == {"eu-central-1c": "10.20.32.0/20"}


def test_a_hosts_address_stays_when_other_hosts_come_or_go() -> None:
    found = ec2_settings.addressed(EC2, HOSTS)
    alone = ec2_settings.addressed(EC2, {"two": HOSTS["two"]})
    assert alone["two"] == found["two"]
    address = ipaddress.IPv4Address(found["two"]["privateAddress"])
    assert address in ipaddress.IPv4Network("10.20.32.0/20")
    assert found["two"]["address"] == found["two"]["privateAddress"]
    host_settings.check(found)


def test_hosts_without_ec2_are_as_they_were() -> None:
    hosts = {"one": {"address": "10.0.0.1"}}
    ec2_settings.check({}, hosts)
    assert ec2_settings.addressed({}, hosts) == hosts


def test_one_zone_needs_no_naming() -> None:
    ec2 = EC2 | {"zones": ["eu-central-1a"]}
    ec2_settings.check(ec2, {"one": {}})
    assert ec2_settings.addressed(ec2, {"one": {}})["one"]["zone"] == "eu-central-1a"


def test_a_host_has_its_own_size_or_that_of_all() -> None:
    ec2 = EC2 | {"instanceTypes": ["m7a.large"]}
    assert ec2_settings.instance(ec2, {})["instanceTypes"] == ["m7a.large"]
    own = ec2_settings.instance(ec2, {"instanceTypes": ["c7a.large"], "disk": {"size": 100}})
    assert (own["instanceTypes"], own["disk"]) == (["c7a.large"], {"size": 100})
    assert own["imageName"] == "debian-13-amd64-*"


def test_a_standby_of_the_store_opens_its_ports_between_hosts() -> None:
    ports = ec2_settings.Ports((80, 443), (7400, 7406), (7407, 7412))
    opened = [rule for rule in ec2_settings.groups(EC2, ports)["host"] if rule["fromPort"] == 7407]
    assert opened == [{"protocol": "tcp", "fromPort": 7407, "toPort": 7412, "source": "group:host"}]


def test_groups_open_what_each_part_needs_and_no_more() -> None:
    found = {
        name: sorted(f"{rule['protocol']} {rule['fromPort']}-{rule['toPort']} {rule['source']}" for rule in rules)
        for name, rules in ec2_settings.groups(EC2, PORTS).items()
    }
    assert found == {
        "host": [
            "tcp 15000-15999 group:host",
            "tcp 20000-29999 group:host",
            "tcp 22-22 203.0.113.0/24",
            "tcp 7946-7946 group:host",
            "udp 7946-7946 group:host",
        ],
        "manager": ["tcp 2377-2377 group:host"],
        "platform": ["tcp 7400-7406 group:host"],
        "router": ["tcp 443-443 0.0.0.0/0", "tcp 80-80 0.0.0.0/0"],
    }


def test_a_load_balancer_is_the_only_one_that_routers_talk_to() -> None:
    found = ec2_settings.groups(EC2 | {"loadBalancer": True}, PORTS)
    assert {rule["source"] for rule in found["router"]} == {"group:balancer"}
    assert {rule["source"] for rule in found["balancer"]} == {"0.0.0.0/0"}


def test_user_data_is_a_name_and_the_key_for_root() -> None:
    assert ec2_settings.user_data("one") == ("#cloud-config\nhostname: one\ndisable_root: false\nssh_pwauth: false\n")


@pytest.mark.parametrize(
    ("ec2", "hosts", "message"),
    [
        ({"size": 1}, HOSTS, "ec2.size: is not a setting — there are adminNetworks, backupBucket,"),
        ({"zones": "a"}, HOSTS, "ec2.zones: is 'a' — give a list"),
        ({"loadBalancer": "yes"}, HOSTS, "ec2.loadBalancer: is 'yes' — give true or false"),
        ({"region": ""}, HOSTS, "ec2.region: is missing — say where, such as eu-central-1"),
        ({"zones": []}, HOSTS, "ec2.zones: is missing — name one or more"),
        ({"adminNetworks": []}, HOSTS, "ec2.adminNetworks: is missing — name the networks from which SSH may come"),
        ({"publicKey": ""}, HOSTS, "ec2.publicKey: is missing — give the line of a file such as id_ed25519.pub"),
        ({"network": "10.0.0.0/8"}, HOSTS, "ec2.network: is 10.0.0.0/8 — use one of /16 to /20"),
        ({"network": "ten"}, HOSTS, "ec2.network: has 'ten', which is no IPv4 network"),
        ({"adminNetworks": ["0.0.0.0/0"]}, HOSTS, "ec2.adminNetworks: is everybody — name the networks that SSH comes"),
        ({"zones": ["us-east-1a"]}, HOSTS, "ec2.zones: has 'us-east-1a' — give zones of eu-central-1, such as"),
        ({}, {}, "hosts: is empty, and ec2 is not — name the hosts"),
        ({}, {"one": "x"}, "hosts.one: is 'x' — give a map"),
        ({}, {"one": {"address": "a"}}, "hosts.one: has an address, and EC2 gives it one — leave address out"),
        (
            {},
            HOSTS | {"three": {}},
            "hosts.three: has no zone — give it zone: eu-central-1a, which has the fewest",
        ),
        (
            {},
            {"one": {"zone": "eu-central-1b"}},
            "hosts.one: is in the zone 'eu-central-1b' — use one of eu-central-1a",
        ),
        (
            {},
            {"one": {"zone": "eu-central-1a", "privateAddress": "10.20.32.10"}},
            "hosts.one: has the address 10.20.32.10 — its zone has 10.20.0.0/20",
        ),
    ],
)
def test_mistakes_say_why_and_what_to_do(ec2: dict[str, Any], hosts: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ec2_settings.check(EC2 | ec2, hosts)
    assert str(caught.value).startswith(message)

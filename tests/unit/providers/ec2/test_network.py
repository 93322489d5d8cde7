"""A network at EC2: made, changed, read, removed, and what becomes of it when AWS has a bad day."""

from typing import Any

import pytest

from providers.dynoform.ec2.network import Ec2Network
from providers.dynoform.engine import Operation
from providers.dynoform.errors import InputError
from tests.unit.providers.ec2.cloud import REGION, ZONES, Cloud

Values = dict[str, Any]
WHOLE = {"vpc": 1, "subnet": 1, "gateway": 1, "routes": 1, "group": 2}


def rule(first: int, last: int, source: str, protocol: str = "tcp") -> Values:
    return {"protocol": protocol, "fromPort": first, "toPort": last, "source": source}


@pytest.fixture
def inputs() -> Values:
    groups = {
        "host": [rule(7946, 7946, "group:host"), rule(7946, 7946, "group:host", "udp"), rule(22, 22, "203.0.113.0/24")],
        "router": [rule(443, 443, "0.0.0.0/0")],
    }
    subnets = {ZONES[0]: "10.20.0.0/24"}
    return Ec2Network().check(
        {"region": REGION, "stack": "prod", "cidr": "10.20.0.0/16", "subnets": subnets, "groups": groups}
    )


def test_network_is_made_with_what_the_hosts_need(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    identifier, values = Ec2Network().create(operation, inputs)
    assert cloud.left() == WHOLE
    ec2 = cloud.client("ec2")
    (vpc,) = cloud.vpcs()
    assert identifier == f"{REGION}/{vpc['VpcId']}"
    assert {tag["Key"]: tag["Value"] for tag in vpc["Tags"]} == {
        "Name": "prod-net", "dynoform:stack": "prod", "dynoform:resource": "prod-net",
    }  # fmt: skip
    assert set(values["groupIds"]) == {"host", "router"}
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "tag-key", "Values": ["dynoform:stack"]}])["RouteTables"]
    assert table["Associations"][0]["SubnetId"] == values["subnetIds"][ZONES[0]]
    assert any(route.get("GatewayId", "").startswith("igw-") for route in table["Routes"])
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [values["groupIds"]["host"]]}])
    ingress = [each for each in found["SecurityGroupRules"] if not each["IsEgress"]]
    assert sorted((each["IpProtocol"], each["FromPort"]) for each in ingress) == [
        ("tcp", 22), ("tcp", 7946), ("udp", 7946),
    ]  # fmt: skip
    assert not Ec2Network().diff(values, inputs).changed


def test_network_is_gone_with_all_its_parts(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    identifier, values = Ec2Network().create(operation, inputs)
    Ec2Network().delete(operation, identifier, values)
    assert cloud.left() == {}
    assert Ec2Network().read(operation, identifier, values) is None
    Ec2Network().delete(operation, identifier, values)


def test_what_was_changed_by_hand_is_drift_and_mended(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    identifier, values = Ec2Network().create(operation, inputs)
    ec2 = cloud.client("ec2")
    group = values["groupIds"]["router"]
    open_to_all = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=open_to_all)
    ec2.modify_vpc_attribute(VpcId=values["vpcId"], EnableDnsHostnames={"Value": False})
    read = Ec2Network().read(operation, identifier, values)
    assert read is not None
    assert read["drift"] == ["DNS names is missing", "rule of router: tcp 5432 from 0.0.0.0/0 is too much"]
    mended = Ec2Network().update(operation, identifier, read, inputs)
    assert Ec2Network().read(operation, identifier, mended) == mended == values


def test_rules_and_subnets_change_in_place(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    identifier, values = Ec2Network().create(operation, inputs)
    groups = {"host": [rule(22, 22, "198.51.100.0/24")], "platform": [rule(7400, 7406, "group:host")]}
    subnets = {**inputs["subnets"], ZONES[1]: "10.20.16.0/24"}
    news = Ec2Network().check({**inputs, "groups": groups, "subnets": subnets})
    assert Ec2Network().diff(values, news).replaces == set()
    changed = Ec2Network().update(operation, identifier, values, news)
    assert set(changed["groupIds"]) == {"host", "platform"}
    assert set(changed["subnetIds"]) == set(ZONES[:2])
    assert Ec2Network().read(operation, identifier, changed) == changed


def test_another_cidr_is_another_network(inputs: Values) -> None:
    found = Ec2Network().diff(inputs, {**inputs, "cidr": "10.30.0.0/16"})
    assert (found.replaces, found.delete_first) == ({"cidr"}, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cidr": "10.0.0.0/8"}, "cidr: is 10.0.0.0/8 — use a network of /16 to /28, which are what AWS takes"),
        ({"subnets": {ZONES[0]: "10.30.0.0/24"}}, "subnets: has 10.30.0.0/24 in eu-central-1a, which is not in 10.20"),
        (
            {"subnets": {ZONES[0]: "10.20.0.0/24", ZONES[1]: "10.20.0.0/25"}},
            "subnets: has 10.20.0.0/25 in eu-central-1b, which overlaps that of eu-central-1a",
        ),
        ({"groups": {"a": [{"port": 1}]}}, "groups: has a rule of a that is {'port': 1} — give fromPort, protocol,"),
        ({"groups": {"a": [rule(1, 2, "0.0.0.0/0", "icmp")]}}, "groups: has the protocol 'icmp' in a — use tcp or udp"),
        ({"groups": {"a": [rule(2, 1, "0.0.0.0/0")]}}, "groups: has the ports 2 to 1 in a — use 1 to 65535"),
        ({"groups": {"a": [rule(1, 2, "group:b")]}}, "groups: has the source 'group:b' in a, which is no group"),
        ({"groups": {"a": [rule(1, 2, "all")]}}, "groups: has 'all', which is no IPv4 network"),
    ],
)
def test_mistakes_are_found_before_anything_is_made(inputs: Values, change: Values, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Ec2Network().check({**inputs, **change})
    assert str(caught.value).startswith(message)

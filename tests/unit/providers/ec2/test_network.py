"""A network at EC2: made, changed, read, removed, and what becomes of it when AWS has a bad day."""

from typing import Any

import pytest

from providers.dynoform.ec2.network import Ec2Network
from providers.dynoform.engine import Operation
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

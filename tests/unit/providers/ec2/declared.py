"""Inputs of each resource at EC2, on a cloud that has what they need."""

from typing import Any

from tests.unit.providers.ec2.cloud import REGION, ZONES, Cloud

Values = dict[str, Any]
OWNER = "123456789012"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGOI4A7gPcjjhnWCd3pAn6pDx4bl4hYFoj3Mb7ynaLhO"
BASE = {"region": REGION, "stack": "prod"}


def rule(first: int, last: int, source: str, protocol: str = "tcp") -> Values:
    return {"protocol": protocol, "fromPort": first, "toPort": last, "source": source}


def network(cloud: Cloud) -> Values:
    groups = {
        "host": [rule(7946, 7946, "group:host"), rule(7946, 7946, "group:host", "udp")],
        "router": [rule(443, 443, "0.0.0.0/0")],
    }
    return {**BASE, "cidr": "10.20.0.0/16", "subnets": {ZONES[0]: "10.20.0.0/24"}, "groups": groups}


def host(cloud: Cloud) -> Values:
    """In the account's own network, from an image of its own."""
    ec2 = cloud.client("ec2")
    subnet = next(each for each in ec2.describe_subnets()["Subnets"] if each["AvailabilityZone"] == ZONES[0])
    group = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"][0]
    image(cloud, "debian-13-amd64-20260101")
    return {
        **BASE,
        "subnetId": subnet["SubnetId"],
        "privateAddress": subnet["CidrBlock"].replace(".0/20", ".10"),
        "instanceTypes": ["t3.large", "t3a.large"],
        "groupIds": [group["GroupId"]],
        "imageOwner": OWNER,
        "imageName": "debian-13-amd64-*",
        "sshPort": 0,
    }


def image(cloud: Cloud, name: str) -> str:
    """Id of a new image of the account."""
    ec2 = cloud.client("ec2")
    known = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    if known:
        return str(known[0]["ImageId"])
    disk = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "VolumeType": "gp2"}}]
    made = ec2.register_image(Name=name, RootDeviceName="/dev/xvda", BlockDeviceMappings=disk)
    return str(made["ImageId"])


def key_pair(cloud: Cloud) -> Values:
    return {**BASE, "publicKey": PUBLIC_KEY}


def instance_profile(cloud: Cloud) -> Values:
    return {**BASE, "bucket": "backups", "prefix": "prod/"}


def load_balancer(cloud: Cloud) -> Values:
    ec2 = cloud.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"]
    asked = {"ImageId": image(cloud, "other"), "InstanceType": "t3.large", "MinCount": 1, "MaxCount": 1}
    instances = [ec2.run_instances(**asked)["Instances"][0]["InstanceId"] for _ in range(2)]
    vpc = subnets[0]["VpcId"]
    own = [{"Name": "vpc-id", "Values": [vpc]}]
    groups = ec2.describe_security_groups(Filters=own)["SecurityGroups"]
    return {
        **BASE,
        "vpcId": vpc,
        "subnetIds": sorted(each["SubnetId"] for each in subnets),
        "groupIds": [groups[0]["GroupId"]],
        "instanceIds": sorted(instances),
        "ports": {"80": 8080, "443": 8443},
    }

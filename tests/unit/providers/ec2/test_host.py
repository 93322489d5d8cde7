"""A host at EC2: how it is asked for, what a change of it does, and what is told when there is none to be had."""

import socket
from typing import Any

import pytest

from providers.dynoform.ec2 import host_parts
from providers.dynoform.ec2.aws import Aws
from providers.dynoform.ec2.host import Ec2Host
from providers.dynoform.engine import Operation
from providers.dynoform.errors import InputError, PartialError, ProviderError
from tests.postgres import free_port
from tests.unit.providers.conftest import Lines
from tests.unit.providers.ec2 import declared
from tests.unit.providers.ec2.cloud import Cloud, Fault

Values = dict[str, Any]
CAPACITY = "InsufficientInstanceCapacity"


@pytest.fixture
def inputs(cloud: Cloud) -> Values:
    found = Ec2Host().check(declared.host(cloud))
    cloud.bodies.clear()
    return found


def instance(cloud: Cloud, values: Values) -> Any:
    answer = cloud.client("ec2").describe_instances(InstanceIds=[values["instanceId"]])
    return answer["Reservations"][0]["Instances"][0]


def asked(cloud: Cloud, action: str) -> list[dict[str, str]]:
    return [body for body in cloud.bodies if body.get("Action") == action]


def test_host_is_asked_for_with_an_encrypted_disk_and_imdsv2(
    cloud: Cloud, operation: Operation, inputs: Values
) -> None:
    _, values = Ec2Host().create(operation, inputs)
    (run,) = asked(cloud, "RunInstances")
    wanted = {
        "MetadataOptions.HttpTokens": "required",
        "MetadataOptions.HttpPutResponseHopLimit": "1",
        "BlockDeviceMapping.1.Ebs.Encrypted": "true",
        "BlockDeviceMapping.1.Ebs.VolumeType": "gp3",
        "BlockDeviceMapping.1.Ebs.VolumeSize": "40",
        "NetworkInterface.1.PrivateIpAddress": inputs["privateAddress"],
        "NetworkInterface.1.AssociatePublicIpAddress": "false",
        "InstanceType": "t3.large",
        "ImageId": values["imageId"],
    }
    assert {name: run.get(name) for name in wanted} == wanted
    assert len(run["ClientToken"]) == 64
    (address,) = cloud.client("ec2").describe_addresses()["Addresses"]
    assert (values["address"], address["InstanceId"]) == (address["PublicIp"], values["instanceId"])


def test_newest_image_of_the_owner_is_taken_once(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    identifier, values = Ec2Host().create(operation, inputs)
    declared.image(cloud, "debian-13-amd64-20270101")
    read = Ec2Host().read(operation, identifier, values)
    assert read is not None
    assert not Ec2Host().diff(read, inputs).changed
    (look,) = asked(cloud, "DescribeImages")
    assert look["Owner.1"] == declared.OWNER


def test_image_that_is_not_there_is_named(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    with pytest.raises(ProviderError) as caught:
        Ec2Host().create(operation, {**inputs, "imageName": "debian-99-*"})
    assert str(caught.value) == (
        "debian-99-*: no image of 123456789012 has this name in eu-central-1 "
        "— see 'aws ec2 describe-images --owners 123456789012 --region eu-central-1'"
    )
    assert "instance" not in cloud.left()


def test_another_type_is_taken_where_the_first_is_not_to_be_had(
    cloud: Cloud, operation: Operation, inputs: Values, lines: Lines
) -> None:
    cloud.faults = [Fault(CAPACITY, "RunInstances", status=500, where="InstanceType=t3.large")]
    identifier, values = Ec2Host().create(operation, inputs)
    assert values["instanceType"] == "t3a.large"
    assert lines.info == [f"no t3.large: {CAPACITY}, says AWS ({CAPACITY})"]
    assert not Ec2Host().diff(values, inputs).changed
    assert Ec2Host().read(operation, identifier, values) == values


def test_no_type_to_be_had_leaves_nothing_and_says_what_to_do(
    cloud: Cloud, operation: Operation, inputs: Values
) -> None:
    cloud.faults = [Fault(CAPACITY, "RunInstances", status=500, times=2)]
    with pytest.raises(ProviderError) as caught:
        Ec2Host().create(operation, inputs)
    assert str(caught.value) == (
        f"prod-net: none of t3.large, t3a.large is to be had: {CAPACITY}, says AWS ({CAPACITY}) "
        "— give the host more instanceTypes, or a zone that has them, then run 'up' again"
    )
    assert not isinstance(caught.value, PartialError)
    assert cloud.left() == {"gateway": cloud.left().get("gateway", 0)} or "instance" not in cloud.left()


def test_instance_profile_that_is_not_known_yet_is_waited_for(
    cloud: Cloud, operation: Operation, inputs: Values, lines: Lines
) -> None:
    fault = Fault("InvalidParameterValue", "RunInstances", times=2)
    fault.message = (
        "Value (backups) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    )
    cloud.faults = [fault]
    Ec2Host().create(operation, inputs)
    assert len(asked(cloud, "RunInstances")) == 3
    assert any("Invalid IAM Instance Profile" in line for line in lines.status)


def test_host_of_an_earlier_life_is_not_taken_for_the_new_one(
    cloud: Cloud, operation: Operation, inputs: Values
) -> None:
    identifier, first = Ec2Host().create(operation, inputs)
    Ec2Host().delete(operation, identifier, first)
    _, second = Ec2Host().create(operation, inputs)
    assert second["instanceId"] != first["instanceId"]
    tokens = [run["ClientToken"] for run in asked(cloud, "RunInstances")]
    assert tokens[0] == tokens[1] != tokens[2]


def test_host_that_ends_instead_of_starting_says_why_and_leaves_nothing(
    cloud: Cloud, operation: Operation, inputs: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ends = Aws.call, list[Any]()

    def ended(self: Aws, service: str, name: str, **parameters: Any) -> Any:
        if name == "describe_instances" and "InstanceIds" in parameters and not ends:
            ends.append(cloud.client("ec2").terminate_instances(InstanceIds=parameters["InstanceIds"]))
        return run(self, service, name, **parameters)

    monkeypatch.setattr(Aws, "call", ended)
    with pytest.raises(ProviderError, match=r"has ended: .* — mend that, then run 'up' again for a new one") as caught:
        Ec2Host().create(operation, inputs)
    assert not isinstance(caught.value, PartialError)
    assert not {"instance", "address"} & set(cloud.left())


def test_changes_in_place(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    identifier, values = Ec2Host().create(operation, inputs)
    group = cloud.client("ec2").create_security_group(GroupName="more", Description="more")["GroupId"]
    cloud.client("iam").create_instance_profile(InstanceProfileName="backups")
    news = {
        **inputs,
        "instanceTypes": ["m7a.large"],
        "groupIds": [*inputs["groupIds"], group],
        "disk": {"size": 80, "iops": 4000, "throughput": 250},
        "instanceProfile": "backups",
        "protected": True,
    }
    found = Ec2Host().diff(values, news)
    assert (found.changed, found.replaces) == (
        {"instanceTypes", "groupIds", "disk", "instanceProfile", "protected"}, set(),
    )  # fmt: skip
    changed = Ec2Host().update(operation, identifier, values, news)
    assert changed["instanceId"] == values["instanceId"]
    assert changed["address"] == values["address"]
    now = instance(cloud, changed)
    assert (now["InstanceType"], now["State"]["Name"]) == ("m7a.large", "running")
    assert Ec2Host().read(operation, identifier, changed) == changed
    assert Ec2Host().read(operation, identifier, changed) is not None
    back = Ec2Host().update(operation, identifier, changed, {**news, "instanceProfile": "", "elasticAddress": False})
    assert back["address"] == inputs["privateAddress"]
    assert "address" not in cloud.left()
    Ec2Host().delete(operation, identifier, back)
    assert "instance" not in cloud.left()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"subnetId": "subnet-2"}, "subnetId"),
        ({"imageName": "debian-12-amd64-*"}, "imageName"),
        ({"keyName": "other"}, "keyName"),
        ({"privateAddress": "10.0.0.9"}, "privateAddress"),
        ({"disk": {"size": 20, "iops": 3000, "throughput": 125}}, "disk"),
    ],
)
def test_what_cannot_be_changed_replaces_the_host_and_removes_it_first(
    change: Values, why: str, inputs: Values
) -> None:
    found = Ec2Host().diff(inputs, {**inputs, **change})
    assert (found.replaces, found.delete_first) == ({why}, True)


def test_a_type_that_is_not_to_be_had_leaves_the_host_running_as_it_was(
    cloud: Cloud, operation: Operation, inputs: Values
) -> None:
    identifier, values = Ec2Host().create(operation, inputs)
    cloud.faults = [Fault(CAPACITY, "StartInstances", status=500)]
    with pytest.raises(PartialError, match=f"{CAPACITY}.* — give the host more instanceTypes") as caught:
        Ec2Host().update(operation, identifier, values, {**inputs, "instanceTypes": ["m7a.large"]})
    now = instance(cloud, values)
    assert (now["InstanceType"], now["State"]["Name"]) == ("t3.large", "running")
    assert Ec2Host().diff(caught.value.outputs, {**inputs, "instanceTypes": ["m7a.large"]}).changed


def test_what_was_changed_by_hand_is_drift_and_mended(cloud: Cloud, operation: Operation, inputs: Values) -> None:
    identifier, values = Ec2Host().create(operation, inputs)
    ec2 = cloud.client("ec2")
    ec2.modify_instance_metadata_options(InstanceId=values["instanceId"], HttpTokens="optional")
    ec2.stop_instances(InstanceIds=[values["instanceId"]])
    read = Ec2Host().read(operation, identifier, values)
    assert read is not None
    assert read["drift"][0] == "instance is stopped instead of running"
    assert read["drift"][1].startswith("metadata service is ")
    assert Ec2Host().diff(read, inputs).changed == {"drift"}
    mended = Ec2Host().update(operation, identifier, read, inputs)
    assert instance(cloud, mended)["State"]["Name"] == "running"
    assert Ec2Host().read(operation, identifier, mended) == mended


def test_host_that_was_ended_by_hand_is_gone_and_its_successor_has_its_address(
    cloud: Cloud, operation: Operation, inputs: Values
) -> None:
    identifier, values = Ec2Host().create(operation, inputs)
    cloud.client("ec2").terminate_instances(InstanceIds=[values["instanceId"]])
    assert Ec2Host().read(operation, identifier, values) is None
    assert Ec2Host().create(operation, inputs)[1]["address"] == values["address"]
    assert cloud.left()["address"] == 1


def test_an_instance_without_our_tags_is_not_imported(cloud: Cloud, operation: Operation) -> None:
    asked = {"ImageId": declared.image(cloud, "other"), "InstanceType": "t3.large", "MinCount": 1, "MaxCount": 1}
    own = cloud.client("ec2").run_instances(**asked)["Instances"][0]["InstanceId"]
    with pytest.raises(ProviderError, match=f"{own}: has no tag dynoform:stack, .* — tag it: aws ec2 create-tags"):
        Ec2Host().read(operation, f"eu-central-1/{own}", {})


def test_a_port_is_waited_for(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(operation, "eu-central-1")
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        host_parts.wait_for_port(aws, "127.0.0.1", port)
    monkeypatch.setattr(host_parts, "ANSWER_SECONDS", 0.1)
    with pytest.raises(ProviderError, match=rf"port {port} of 127.0.0.1: is not there yet: .* — see that"):
        host_parts.wait_for_port(aws, "127.0.0.1", port)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instanceTypes": []}, "instanceTypes: is [] — give one or more, the best first, such as t3.large"),
        ({"instanceTypes": ["large"]}, "instanceTypes: is ['large'] — give one or more"),
        ({"imageName": "", "imageOwner": ""}, "imageName: is empty, and so is launchTemplate — name an image"),
        ({"imageOwner": ""}, "imageOwner: and imageName go together: anybody can give an image any name"),
        ({"disk": {"colour": 1}}, "disk: has the key 'colour' — use size, iops, throughput"),
        ({"disk": {"size": 4}}, "disk: has the size 4 — a gp3 volume has 8 to 16384"),
        ({"privateAddress": "ten"}, "privateAddress: is 'ten', which is no IPv4 address"),
        ({"sshPort": "22"}, "sshPort: should be a whole number, is a string"),
    ],
)
def test_mistakes_are_found_before_anything_is_made(change: Values, message: str) -> None:
    base = {**declared.BASE, "subnetId": "subnet-1", "instanceTypes": ["t3.large"], "groupIds": []}
    with pytest.raises(InputError) as caught:
        Ec2Host().check({**base, "imageOwner": "1", "imageName": "debian-*", **change})
    assert str(caught.value).startswith(message)

"""What is asked of EC2 for a host, and what a host lacks. Pure: no call to AWS."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InputError
from .ownership import specification

ENDED: Final = ("shutting-down", "terminated")
ALIVE: Final = ("pending", "running", "stopping", "stopped")
METADATA: Final[Mapping[str, Any]] = {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}
"""IMDSv2 only; one hop, so that no container on a bridge gets at the host's keys
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html)."""
DISK: Final[Mapping[str, int]] = {"size": 40, "iops": 3000, "throughput": 125}
"""GiB, operations and MiB per second: the least that a gp3 volume has, and costs nothing more."""
DISK_LIMITS: Final = {"size": (8, 16384), "iops": (3000, 16000), "throughput": (125, 1000)}
"""https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html"""


@dataclass(frozen=True)
class Image:
    """A machine image, and its root device's name."""

    id: str
    root_device: str


@dataclass
class State:
    """A host as it is."""

    id: str
    state: str
    instance_type: str
    zone: str
    image_id: str
    groups: frozenset[str]
    profile: str
    """Name of its instance profile; empty without."""
    metadata: Mapping[str, Any]
    volume_id: str
    disk: Mapping[str, int]
    protected: bool = False
    allocation_id: str = ""
    """Of its Elastic IP address."""
    public_address: str = ""
    associated: bool = False


@dataclass(frozen=True)
class Step:
    """One change of a host."""

    what: str
    was: str
    wanted: str

    def __str__(self) -> str:
        """As status messages and the drift have it."""
        return f"{self.what} is {self.was or 'not there'} instead of {self.wanted}"


def steps(state: State, inputs: Mapping[str, Any]) -> Iterator[Step]:
    """What has to be done still, in order."""
    if state.instance_type not in inputs["instanceTypes"]:
        yield Step("instance type", state.instance_type, inputs["instanceTypes"][0])
    if state.state in ("stopping", "stopped"):
        yield Step("instance", state.state, "running")
    wanted = frozenset(inputs["groupIds"])
    if state.groups != wanted:
        yield Step("security groups", _names(state.groups), _names(wanted))
    if state.profile != inputs["instanceProfile"]:
        yield Step("instance profile", state.profile, inputs["instanceProfile"] or "none")
    if any(state.metadata.get(name) != value for name, value in METADATA.items()):
        yield Step("metadata service", _pairs(state.metadata), _pairs(METADATA))
    if state.disk != inputs["disk"]:
        yield Step("disk", _pairs(state.disk), _pairs(inputs["disk"]))
    if state.protected != inputs["protected"]:
        yield Step("protection against termination", _on(state.protected), _on(inputs["protected"]))
    yield from _address_steps(state, elastic=inputs["elasticAddress"])


def _address_steps(state: State, *, elastic: bool) -> Iterator[Step]:
    if elastic and not state.allocation_id:
        yield Step("Elastic IP address", "", "one of its own")
    elif elastic and not state.associated:
        yield Step("association of the Elastic IP address", "", state.public_address)
    elif not elastic and state.allocation_id:
        yield Step("Elastic IP address", state.public_address, "none")


def run_parameters(inputs: Mapping[str, Any], resource: str, image: Image | None, instance_type: str) -> dict[str, Any]:
    """Parameters of ``run_instances`` for one host; without an image it is the launch template's."""
    interface: dict[str, Any] = {
        "DeviceIndex": 0,
        "SubnetId": inputs["subnetId"],
        "Groups": sorted(inputs["groupIds"]),
        # What it has to have in the network is an Elastic IP address, which stays when it is stopped.
        "AssociatePublicIpAddress": False,
        "DeleteOnTermination": True,
    }
    if inputs["privateAddress"]:
        interface["PrivateIpAddress"] = inputs["privateAddress"]
    asked: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceType": instance_type,
        "NetworkInterfaces": [interface],
        "MetadataOptions": dict(METADATA),
        "DisableApiTermination": inputs["protected"],
        "TagSpecifications": [
            *specification("instance", inputs["stack"], resource),
            *specification("volume", inputs["stack"], resource, "disk"),
        ],
    }
    if image:
        asked["ImageId"] = image.id
        asked["BlockDeviceMappings"] = [{"DeviceName": image.root_device, "Ebs": _volume(inputs)}]
    if inputs["launchTemplate"]:
        name, _, version = inputs["launchTemplate"].partition(":")
        by = "LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName"
        asked["LaunchTemplate"] = {by: name, "Version": version or "$Default"}
    given = {"KeyName": inputs["keyName"], "UserData": inputs["userData"]}
    asked |= {name: value for name, value in given.items() if value}
    if inputs["instanceProfile"]:
        asked["IamInstanceProfile"] = {"Name": inputs["instanceProfile"]}
    return asked


def _volume(inputs: Mapping[str, Any]) -> dict[str, Any]:
    disk = inputs["disk"]
    key = {"KmsKeyId": inputs["kmsKeyId"]} if inputs["kmsKeyId"] else {}
    return {
        "VolumeType": "gp3",
        "VolumeSize": disk["size"],
        "Iops": disk["iops"],
        "Throughput": disk["throughput"],
        "Encrypted": True,
        "DeleteOnTermination": True,
        **key,
    }


def newest(images: Iterable[Mapping[str, Any]]) -> Image | None:
    """The image that was made last; None of none."""
    found = max(images, key=lambda image: str(image["CreationDate"]), default=None)
    return Image(found["ImageId"], found["RootDeviceName"]) if found else None


def check(inputs: Mapping[str, Any]) -> None:
    """Raises ``InputError`` for what AWS would refuse, or what is no host."""
    types = inputs["instanceTypes"]
    if not types or not all(isinstance(each, str) and "." in each for each in types):
        raise InputError("instanceTypes", f"is {types!r}", "give one or more, the best first, such as t3.large")
    if not (inputs["imageName"] or inputs["launchTemplate"]):
        raise InputError("imageName", "is empty, and so is launchTemplate", "name an image, such as debian-13-amd64-*")
    if bool(inputs["imageName"]) != bool(inputs["imageOwner"]):
        raise InputError("imageOwner", "and imageName go together: anybody can give an image any name")
    for name, value in inputs["disk"].items():
        if name not in DISK_LIMITS:
            raise InputError("disk", f"has the key {name!r}", f"use {', '.join(DISK_LIMITS)}")
        least, most = DISK_LIMITS[name]
        if type(value) is not int or not least <= value <= most:
            raise InputError("disk", f"has the {name} {value!r}", f"a gp3 volume has {least} to {most}")
    if inputs["privateAddress"]:
        try:
            ipaddress.IPv4Address(inputs["privateAddress"])
        except ValueError as error:
            raise InputError("privateAddress", f"is {inputs['privateAddress']!r}, which is no IPv4 address") from error


def shrinks(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a disk would become smaller, which a volume cannot."""
    return bool(old.get("size", 0) > new.get("size", 0))


def _names(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))


def _on(value: bool) -> str:
    return "on" if value else "off"

"""The parts of a host at AWS: instance, volume, address. Read, changed and removed."""

import socket
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ProviderError
from .answers import CAPACITY, AwsError
from .aws import Aws, codes
from .host_plan import ENDED, METADATA, State, Step
from .ownership import filters, specification

STATE_SECONDS = 600.0
"""How long an instance may take from one state to another."""
VOLUME_SECONDS = 900.0
ANSWER_SECONDS = 300.0
CONNECT_SECONDS = 5.0
ROOT_KEYS = {"size": "Size", "iops": "Iops", "throughput": "Throughput"}


class EndedError(ProviderError):
    """The instance has ended, or ends: there is nothing to change any more."""


def instance(aws: Aws, own: str) -> Any:
    """The instance as AWS describes it; None when there is none, or it ends."""
    answer = aws.call("ec2", "describe_instances", gone={}, InstanceIds=[own])
    found = [each for reservation in answer.get("Reservations", ()) for each in reservation["Instances"]]
    return found[0] if found and found[0]["State"]["Name"] not in ENDED else None


def read(aws: Aws, found: Any, stack: str, resource: str) -> State:
    """A host of which AWS has told ``found``."""
    own = found["InstanceId"]
    attribute = aws.call("ec2", "describe_instance_attribute", InstanceId=own, Attribute="disableApiTermination")
    root: Mapping[str, Any] = next(
        (each["Ebs"] for each in found["BlockDeviceMappings"] if each["DeviceName"] == found.get("RootDeviceName")), {}
    )
    volume = aws.call("ec2", "describe_volumes", VolumeIds=[root["VolumeId"]])["Volumes"][0] if root else {}
    state = State(
        id=own,
        state=found["State"]["Name"],
        instance_type=found["InstanceType"],
        zone=found["Placement"]["AvailabilityZone"],
        image_id=found["ImageId"],
        groups=frozenset(group["GroupId"] for group in found.get("SecurityGroups", ())),
        profile=(found.get("IamInstanceProfile") or {}).get("Arn", "").rpartition("/")[2],
        metadata={name: (found.get("MetadataOptions") or {}).get(name) for name in METADATA},
        volume_id=root.get("VolumeId", ""),
        disk={name: volume.get(key, 0) for name, key in ROOT_KEYS.items()},
        protected=attribute["DisableApiTermination"]["Value"],
    )
    for address in addresses(aws, stack, resource):
        state.allocation_id, state.public_address = address["AllocationId"], address["PublicIp"]
        state.associated = address.get("InstanceId") == own
    return state


def addresses(aws: Aws, stack: str, resource: str) -> list[Any]:
    """Elastic IP addresses with the resource's tags."""
    return list(aws.listed("ec2", "describe_addresses", "Addresses", Filters=filters(stack, resource)))


def wait_for_state(aws: Aws, own: str, wanted: str) -> Any:
    """The instance when it is in the state. Raises ``EndedError`` with AWS's reason when it ends instead."""

    def look() -> tuple[Any, str]:
        answer = aws.call("ec2", "describe_instances", InstanceIds=[own])
        found = answer["Reservations"][0]["Instances"][0]
        state = found["State"]["Name"]
        if state in ENDED and wanted not in ENDED:
            why = (found.get("StateReason") or {}).get("Message") or found.get("StateTransitionReason") or "no reason"
            raise EndedError(f"instance {own}", f"has ended: {why}", "mend that, then run 'up' again for a new one")
        return (found if state == wanted else None), state

    return aws.wait(f"instance {own}", look, STATE_SECONDS)


class Parts:
    """A host's parts; ``state`` follows each step that is done."""

    def __init__(self, aws: Aws, resource: str, inputs: Mapping[str, Any], state: State) -> None:
        """``inputs`` as declared."""
        self._aws, self._resource, self._inputs, self.state = aws, resource, inputs, state

    def do(self, step: Step) -> None:
        """Makes what the step says so."""
        self._aws.operation.status(str(step))
        steps: dict[str, Callable[[], None]] = {
            "instance type": self._resize,
            "instance": self._start,
            "security groups": self._join_groups,
            "instance profile": self._take_profile,
            "metadata service": self._restrict_metadata,
            "disk": self._change_disk,
            "protection against termination": self._protect,
            "Elastic IP address": self._have_address,
            "association of the Elastic IP address": self._associate,
        }
        steps[step.what]()

    def _ec2(self, name: str, **parameters: Any) -> Any:
        return self._aws.call("ec2", name, **parameters)

    def _resize(self) -> None:
        """To the first type that is to be had; if none is, it runs on as it was, and the error says so."""
        own, before = self.state.id, self.state.instance_type
        if self.state.state != "stopped":
            self._ec2("stop_instances", InstanceIds=[own])
            wait_for_state(self._aws, own, "stopped")
        refused: AwsError | None = None
        for instance_type in (*self._inputs["instanceTypes"], before):
            self._ec2("modify_instance_attribute", InstanceId=own, InstanceType={"Value": instance_type})
            try:
                self._start()
            except AwsError as error:
                if error.code not in CAPACITY:
                    raise
                refused = error
                continue
            self.state.instance_type = instance_type
            break
        if refused and self.state.instance_type == before:
            raise refused

    def _start(self) -> None:
        if self.state.state == "stopping":
            wait_for_state(self._aws, self.state.id, "stopped")
        self._ec2("start_instances", InstanceIds=[self.state.id], again=codes("IncorrectInstanceState"))
        wait_for_state(self._aws, self.state.id, "running")
        self.state.state = "running"

    def _join_groups(self) -> None:
        groups = sorted(self._inputs["groupIds"])
        self._ec2("modify_instance_attribute", InstanceId=self.state.id, Groups=groups)
        self.state.groups = frozenset(groups)

    def _take_profile(self) -> None:
        known = [{"Name": "instance-id", "Values": [self.state.id]}]
        listing = "describe_iam_instance_profile_associations"
        found = [
            each
            for each in self._aws.listed("ec2", listing, "IamInstanceProfileAssociations", Filters=known)
            if each["State"] in ("associating", "associated")
        ]
        wanted = self._inputs["instanceProfile"]
        if found and not wanted:
            self._ec2("disassociate_iam_instance_profile", gone={}, AssociationId=found[0]["AssociationId"])
        elif found:
            names = {"AssociationId": found[0]["AssociationId"], "IamInstanceProfile": {"Name": wanted}}
            self._ec2("replace_iam_instance_profile_association", again=_unknown_profile, **names)
        else:
            names = {"InstanceId": self.state.id, "IamInstanceProfile": {"Name": wanted}}
            self._ec2("associate_iam_instance_profile", again=_unknown_profile, **names)
        self.state.profile = wanted

    def _restrict_metadata(self) -> None:
        self._ec2("modify_instance_metadata_options", InstanceId=self.state.id, **METADATA)
        self.state.metadata = METADATA

    def _change_disk(self) -> None:
        disk = self._inputs["disk"]
        wanted = {key: disk[name] for name, key in ROOT_KEYS.items()}
        # AWS takes the next change of a volume only hours after the last one.
        self._ec2("modify_volume", VolumeId=self.state.volume_id, VolumeType="gp3", **wanted)
        self._aws.wait(f"volume {self.state.volume_id}", self._volume_changed, VOLUME_SECONDS)
        self.state.disk = dict(disk)

    def _volume_changed(self) -> tuple[bool | None, str]:
        answer = self._ec2("describe_volumes_modifications", gone={}, VolumeIds=[self.state.volume_id])
        found = (answer.get("VolumesModifications") or [{}])[-1]
        state = found.get("ModificationState", "completed")
        if state == "failed":
            why = found.get("StatusMessage") or "no reason"
            raise ProviderError(f"volume {self.state.volume_id}", f"could not be changed: {why}", "run 'up' again")
        # It can be used as it shall be from 'optimizing' on, which may take a day.
        return (True if state in ("optimizing", "completed") else None), state

    def _protect(self) -> None:
        wanted = self._inputs["protected"]
        self._ec2("modify_instance_attribute", InstanceId=self.state.id, DisableApiTermination={"Value": wanted})
        self.state.protected = wanted

    def _have_address(self) -> None:
        if not self._inputs["elasticAddress"]:
            release(self._aws, self._inputs["stack"], self._resource)
            self.state.allocation_id, self.state.public_address, self.state.associated = "", "", False
            return
        stack, resource = self._inputs["stack"], self._resource

        def find() -> Any:
            return next(iter(addresses(self._aws, stack, resource)), None)

        def make() -> Any:
            tags = specification("elastic-ip", stack, resource, "address")
            return self._ec2("allocate_address", repeatable=False, Domain="vpc", TagSpecifications=tags)

        found = self._aws.obtained("the Elastic IP address", find, make)
        self.state.allocation_id, self.state.public_address = found["AllocationId"], found["PublicIp"]

    def _associate(self) -> None:
        names = {"AllocationId": self.state.allocation_id, "InstanceId": self.state.id}
        self._ec2("associate_address", AllowReassociation=True, again=codes("InvalidInstanceID"), **names)
        self.state.associated = True


def release(aws: Aws, stack: str, resource: str) -> None:
    """Gives the host's Elastic IP addresses back."""
    for address in addresses(aws, stack, resource):
        if association := address.get("AssociationId"):
            aws.call("ec2", "disassociate_address", gone={}, AssociationId=association)
        busy = codes("InvalidIPAddress.InUse")
        aws.call("ec2", "release_address", gone={}, again=busy, AllocationId=address["AllocationId"])


def wait_for_port(aws: Aws, address: str, port: int) -> None:
    """Until the host takes connections at the port, as SSH does when it has booted."""

    def look() -> tuple[bool | None, str]:
        try:
            socket.create_connection((address, port), CONNECT_SECONDS).close()
        except OSError as error:
            return None, f"not there yet: {error.strerror or error}"
        return True, ""

    try:
        aws.wait(f"port {port} of {address}", look, ANSWER_SECONDS)
    except ProviderError as error:
        advice = "see that adminNetworks has the address that you come from, then run 'up' again"
        raise ProviderError(error.what, error.why, advice) from error


def _unknown_profile(error: AwsError) -> bool:
    return "iam instance profile" in error.why.lower()

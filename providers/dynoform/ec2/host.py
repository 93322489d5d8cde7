"""Ec2Host: an instance with an encrypted disk, an address of its own, and keys that no container gets at."""

from typing import ClassVar

from ..engine import Operation
from ..errors import PartialError, ProviderError
from ..resource import Difference, Values
from ..values import UNKNOWN, contains_unknown
from . import host_parts, host_plan
from .aws import Aws
from .host_launch import find, launch
from .host_parts import EndedError, Parts
from .host_plan import DISK, State, Step
from .ownership import RESOURCE, STACK, tag
from .resource import Ec2Resource

MAX_STEPS = 100


class Ec2Host(Ec2Resource):
    """Outputs ``instanceId``, ``instanceType``, ``imageId``, ``zone``, ``privateIp``, ``address``.

    The image is looked up once, when the host is made: a newer one of the same name replaces no host. ``address`` is
    the Elastic IP address, or the private one. A host of another type is stopped and started; one in another subnet,
    with another private address, image, key pair, or a smaller disk, is replaced.
    """

    required: ClassVar = {"region": str, "stack": str, "subnetId": str, "instanceTypes": list, "groupIds": list}
    optional: ClassVar = {
        "privateAddress": "",
        "imageOwner": "",
        "imageName": "",
        "launchTemplate": "",
        "keyName": "",
        "instanceProfile": "",
        "disk": {},
        "kmsKeyId": "",
        "userData": "",
        "elasticAddress": True,
        "protected": False,
        "sshPort": 22,
    }
    computed: ClassVar = ("instanceType", "address")
    replacing: ClassVar = Ec2Resource.replacing | {
        "subnetId", "privateAddress", "imageOwner", "imageName", "launchTemplate", "keyName", "kmsKeyId", "userData",
    }  # fmt: skip

    def check(self, inputs: Values) -> Values:
        """Fills in the disk; refuses what AWS would refuse."""
        checked = super().check(inputs)
        if checked["disk"] is not UNKNOWN:
            checked["disk"] = {**DISK, **checked["disk"]}
        if not any(contains_unknown(checked[name]) for name in ("instanceTypes", "disk", "privateAddress")):
            host_plan.check(checked)
        return checked

    def diff(self, olds: Values, news: Values) -> Difference:
        """Also replaces a host whose disk shall be smaller."""
        found = super().diff(olds, news)
        smaller = not contains_unknown(news["disk"]) and host_plan.shrinks(olds.get("disk") or {}, news["disk"])
        replaces = found.replaces | ({"disk"} if smaller else frozenset())
        return Difference(found.changed, replaces, delete_first=bool(replaces))

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """An instance that ends before it runs is nothing that was made."""
        try:
            return super().create(operation, inputs)
        except PartialError as error:
            if isinstance(error.__cause__, EndedError):
                self.delete(operation, error.identifier, error.outputs)
                raise error.__cause__ from error
            raise

    def obtain(self, aws: Aws, resource: str, inputs: Values) -> str:
        """The instance."""

        def found() -> str | None:
            return find(aws, inputs["stack"], resource)

        return aws.obtained("the instance", found, lambda: launch(aws, resource, inputs))

    def converge(self, aws: Aws, own: str, values: Values) -> Values:
        """Does what it lacks, then waits until SSH answers."""
        found = host_parts.instance(aws, own)
        if found is None or found["State"]["Name"] == "pending":
            found = host_parts.wait_for_state(aws, own, "running")
        parts = Parts(aws, values["resource"], values, host_parts.read(aws, found, values["stack"], values["resource"]))
        for _ in range(MAX_STEPS):
            step: Step | None = next(host_plan.steps(parts.state, values), None)
            if step is None:
                break
            parts.do(step)
        outputs = _outputs(parts.state, found["PrivateIpAddress"])
        if values["sshPort"]:
            host_parts.wait_for_port(aws, outputs["address"], values["sshPort"])
        return outputs

    def observe(self, aws: Aws, own: str, state: Values) -> Values | None:
        """What is otherwise than declared is the drift; one that ends is gone."""
        found = host_parts.instance(aws, own)
        if found is None:
            return None
        actual = host_parts.read(aws, found, state["stack"], state["resource"])
        drift = [str(step) for step in host_plan.steps(actual, state)]
        return {**state, **_outputs(actual, found["PrivateIpAddress"]), "drift": drift}

    def imported(self, aws: Aws, own: str, known: Values) -> Values | None:
        """Declared is what there is. Raises ``ProviderError`` for an instance that carries no tags of a stack."""
        found = host_parts.instance(aws, own)
        if found is None:
            return None
        if not tag(found, STACK):
            command = f"aws ec2 create-tags --resources {own} --tags Key={STACK},Value=<stack>"
            raise ProviderError(own, f"has no tag {STACK}, so that it would not be found again", f"tag it: {command}")
        resource = tag(found, RESOURCE) or known["resource"]
        actual = host_parts.read(aws, found, tag(found, STACK), resource)
        images = aws.call("ec2", "describe_images", gone={}, ImageIds=[found["ImageId"]]).get("Images")
        image = images[0] if images else {}
        return {
            **known,
            **self.optional,
            "stack": tag(found, STACK),
            "resource": resource,
            "subnetId": found["SubnetId"],
            "privateAddress": found["PrivateIpAddress"],
            "instanceTypes": [actual.instance_type],
            "groupIds": sorted(actual.groups),
            "keyName": found.get("KeyName", ""),
            "instanceProfile": actual.profile,
            "disk": dict(actual.disk),
            "imageOwner": image.get("OwnerId", ""),
            "imageName": image.get("Name", ""),
            "elasticAddress": bool(actual.allocation_id),
            "protected": actual.protected,
        }

    def remove(self, aws: Aws, own: str, state: Values) -> None:
        """Ends the instance, whose disk goes with it, and gives its address back."""
        if host_parts.instance(aws, own) is not None:
            off = {"Value": False}
            aws.call("ec2", "modify_instance_attribute", gone={}, InstanceId=own, DisableApiTermination=off)
            aws.call("ec2", "terminate_instances", gone={}, InstanceIds=[own])

        def look() -> tuple[bool | None, str]:
            answer = aws.call("ec2", "describe_instances", gone={}, InstanceIds=[own])
            found = [each for reservation in answer.get("Reservations", ()) for each in reservation["Instances"]]
            ended = not found or found[0]["State"]["Name"] == "terminated"
            return (True if ended else None), found[0]["State"]["Name"] if found else ""

        aws.wait(f"the end of instance {own}", look, host_parts.STATE_SECONDS)
        host_parts.release(aws, state["stack"], state["resource"])


def _outputs(state: State, private_address: str) -> Values:
    return {
        "instanceId": state.id,
        "instanceType": state.instance_type,
        "imageId": state.image_id,
        "zone": state.zone,
        "privateIp": private_address,
        "address": state.public_address or private_address,
    }

"""How a host comes to be: its image, an instance of a type that is to be had, once, however often it is asked for."""

from collections.abc import Mapping
from typing import Any

from ..errors import ProviderError
from . import host_plan
from .answers import CAPACITY, AwsError
from .aws import Aws
from .host_plan import ALIVE, ENDED, Image
from .ownership import filters, token

LAUNCH_SECONDS = 90.0
"""How long what was made just before, such as an instance profile, may not be known to EC2."""
LIVES = 20
"""How many hosts of one and the same request may have come and gone within the two days that AWS remembers tokens."""
_SETTLING = frozenset({"InvalidGroup.NotFound", "InvalidKeyPair.NotFound", "InvalidSubnetID.NotFound"})


def find(aws: Aws, stack: str, resource: str) -> str | None:
    """Id of the live instance that carries the resource's tags."""
    known = filters(stack, resource, instance_state_name=list(ALIVE))
    for reservation in aws.listed("ec2", "describe_instances", "Reservations", Filters=known):
        for instance in reservation["Instances"]:
            return str(instance["InstanceId"])
    return None


def launch(aws: Aws, resource: str, inputs: Mapping[str, Any]) -> str:
    """Id of a new instance, of the first of the types that its zone has. Raises ``ProviderError`` when it has none."""
    image = _image(aws, inputs)
    refused: AwsError | None = None
    for instance_type in inputs["instanceTypes"]:
        aws.operation.status(f"starts a {instance_type}")
        try:
            return _run(aws, host_plan.run_parameters(inputs, resource, image, instance_type))
        except AwsError as error:
            if error.code not in CAPACITY:
                raise
            aws.operation.info(f"no {instance_type}: {error.why}")
            refused = error
    assert refused is not None  # noqa: S101 - there is at least one type
    types = ", ".join(inputs["instanceTypes"])
    raise ProviderError(resource, f"none of {types} is to be had: {refused.why}", refused.next_step)


def _run(aws: Aws, asked: dict[str, Any]) -> str:
    """The same request is the same instance, even if nobody heard the answer; unless that one has ended since."""
    for life in range(LIVES):
        answer = aws.call(
            "ec2",
            "run_instances",
            again=_passes,
            seconds=LAUNCH_SECONDS,
            ClientToken=token(asked, life),
            **asked,
        )
        instance = answer["Instances"][0]
        if instance["State"]["Name"] not in ENDED:
            return str(instance["InstanceId"])
    raise ProviderError("ec2 run_instances", f"{LIVES} instances of this request have ended", "try again in two days")


def _passes(error: AwsError) -> bool:
    return error.code in _SETTLING or "iam instance profile" in error.why.lower()


def _image(aws: Aws, inputs: Mapping[str, Any]) -> Image | None:
    """The newest of the owner's images of that name; None leaves it to the launch template."""
    if not inputs["imageName"]:
        return None
    owner, name = inputs["imageOwner"], inputs["imageName"]
    known = [{"Name": "name", "Values": [name]}, {"Name": "state", "Values": ["available"]}]
    found = host_plan.newest(aws.listed("ec2", "describe_images", "Images", Owners=[owner], Filters=known))
    if found is None:
        command = f"aws ec2 describe-images --owners {owner} --region {aws.region}"
        raise ProviderError(name, f"no image of {owner} has this name in {aws.region}", f"see '{command}'")
    return found

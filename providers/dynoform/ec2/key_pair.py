"""Ec2KeyPair: the public key that lets the operator in by SSH; the private one never leaves the operator's machine."""

from typing import Any, ClassVar

from ..errors import InputError
from ..resource import Values
from ..values import UNKNOWN
from .aws import Aws
from .ownership import RESOURCE, STACK, specification, tag
from .resource import Ec2Resource

KINDS = ("ssh-ed25519 ", "ssh-rsa ")
"""What EC2 takes: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-key-pairs.html"""


class Ec2KeyPair(Ec2Resource):
    """Inputs ``region``, ``stack``, ``publicKey``; output ``keyName``. Another key is another key pair."""

    required: ClassVar = {"region": str, "stack": str, "publicKey": str}
    computed: ClassVar = ("keyName",)
    replacing: ClassVar = Ec2Resource.replacing | {"publicKey"}

    def check(self, inputs: Values) -> Values:
        """Refuses what is no public key, a private one above all."""
        checked = super().check(inputs)
        key = checked["publicKey"]
        if key is not UNKNOWN and (not key.startswith(KINDS) or "\n" in key.strip()):
            raise InputError(
                "publicKey", "is no public key of SSH", "give the one line of a file such as id_ed25519.pub"
            )
        return {**checked, "publicKey": key if key is UNKNOWN else key.strip()}

    def obtain(self, aws: Aws, resource: str, inputs: Values) -> str:
        """A name is there once: a key pair that was made without an answer is found by it."""
        name = f"{inputs['stack']}-{resource}"

        def find() -> Any:
            return _described(aws, name)

        def make() -> Any:
            tags = specification("key-pair", inputs["stack"], resource)
            key = inputs["publicKey"].encode()
            return aws.call(
                "ec2", "import_key_pair", repeatable=False, KeyName=name, PublicKeyMaterial=key, TagSpecifications=tags
            )

        return str(aws.obtained("the key pair", find, make)["KeyName"])

    def converge(self, aws: Aws, own: str, values: Values) -> Values:
        """Nothing of a key pair can be changed."""
        return {"keyName": own}

    def observe(self, aws: Aws, own: str, state: Values) -> Values | None:
        """There or not."""
        return {**state, "drift": []} if _described(aws, own) else None

    def imported(self, aws: Aws, own: str, known: Values) -> Values | None:
        """With its public key."""
        found = _described(aws, own)
        if not found:
            return None
        # AWS adds the key pair's name as a comment.
        key = " ".join(found["PublicKey"].split()[:2])
        stack, resource = tag(found, STACK), tag(found, RESOURCE) or known["resource"]
        return {**known, "stack": stack, "resource": resource, "publicKey": key, "keyName": own}

    def remove(self, aws: Aws, own: str, state: Values) -> None:
        """Hosts that have it keep it."""
        aws.call("ec2", "delete_key_pair", gone={}, KeyName=own)


def _described(aws: Aws, own: str) -> Any:
    found = aws.call("ec2", "describe_key_pairs", gone={}, KeyNames=[own], IncludePublicKey=True).get("KeyPairs")
    return found[0] if found else None

"""Ec2InstanceProfile: what a host may do at AWS without any key on it: read and write its backups in one S3 bucket."""

import json
from typing import Any, ClassVar

from ..errors import ProviderError
from ..resource import Values
from .aws import Aws
from .ownership import tags
from .resource import Ec2Resource

POLICY = "backups"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def policy(bucket: str, prefix: str) -> dict[str, Any]:
    """A policy for the objects of a bucket whose names begin so, and nothing else in it.

    pgBackRest asks for exactly these (https://pgbackrest.org/user-guide.html#s3-support).
    """
    objects = f"arn:aws:s3:::{bucket}/{prefix}*"
    listing: dict[str, Any] = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    return {
        "Version": "2012-10-17",
        "Statement": [listing, {"Effect": "Allow", "Action": actions, "Resource": objects}],
    }


class Ec2InstanceProfile(Ec2Resource):
    """Inputs ``region``, ``stack``, ``bucket``, ``prefix``; output ``profileName``, which is a role's name too."""

    required: ClassVar = {"region": str, "stack": str, "bucket": str}
    optional: ClassVar = {"prefix": ""}
    computed: ClassVar = ("profileName",)

    def obtain(self, aws: Aws, resource: str, inputs: Values) -> str:
        """The role; a name is there once."""
        name, stack = f"{inputs['stack']}-{resource}", inputs["stack"]
        trust = json.dumps(TRUST)
        aws.once(
            "iam", "create_role", "EntityAlreadyExists",
            RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags(stack, resource),
        )  # fmt: skip
        return name

    def converge(self, aws: Aws, own: str, values: Values) -> Values:
        """Policy, profile, and the role in it."""
        document = json.dumps(policy(values["bucket"], values["prefix"]))
        aws.call("iam", "put_role_policy", RoleName=own, PolicyName=POLICY, PolicyDocument=document)
        marked = tags(values["stack"], values["resource"])
        aws.once("iam", "create_instance_profile", "EntityAlreadyExists", InstanceProfileName=own, Tags=marked)
        names = {"InstanceProfileName": own, "RoleName": own}
        # A profile has one role: that it has one already is told as a limit.
        aws.once("iam", "add_role_to_instance_profile", "LimitExceeded", **names)
        return {"profileName": own}

    def observe(self, aws: Aws, own: str, state: Values) -> Values | None:
        """Its policy is its drift; None without the role."""
        if not aws.call("iam", "get_role", gone={}, RoleName=own):
            return None
        drift = []
        found = aws.call("iam", "get_role_policy", gone={}, RoleName=own, PolicyName=POLICY)
        if not found or found["PolicyDocument"] != policy(state["bucket"], state["prefix"]):
            drift.append("policy is another")
        profile = aws.call("iam", "get_instance_profile", gone={}, InstanceProfileName=own)
        if not profile or not profile["InstanceProfile"]["Roles"]:
            drift.append("instance profile is missing, or has no role")
        return {**state, "drift": drift}

    def imported(self, aws: Aws, own: str, known: Values) -> Values | None:
        """Bucket and prefix are those of the policy."""
        role = aws.call("iam", "get_role", gone={}, RoleName=own)
        if not role:
            return None
        found = aws.call("iam", "get_role_policy", gone={}, RoleName=own, PolicyName=POLICY)
        if not found:
            raise ProviderError(own, f"has no policy {POLICY!r}", "declare it: a role of that name is taken over")
        marked = {each["Key"]: each["Value"] for each in role["Role"].get("Tags", ())}
        objects = found["PolicyDocument"]["Statement"][1]["Resource"].removeprefix("arn:aws:s3:::").rstrip("*")
        bucket, _, prefix = objects.partition("/")
        stack, resource = marked.get("dynoform:stack", ""), marked.get("dynoform:resource", known["resource"])
        return {
            **known, "stack": stack, "resource": resource, "bucket": bucket, "prefix": prefix, "profileName": own,
        }  # fmt: skip

    def remove(self, aws: Aws, own: str, state: Values) -> None:
        """From the outside in."""
        aws.call("iam", "remove_role_from_instance_profile", gone={}, InstanceProfileName=own, RoleName=own)
        aws.call("iam", "delete_instance_profile", gone={}, InstanceProfileName=own)
        aws.call("iam", "delete_role_policy", gone={}, RoleName=own, PolicyName=POLICY)
        aws.call("iam", "delete_role", gone={}, RoleName=own)

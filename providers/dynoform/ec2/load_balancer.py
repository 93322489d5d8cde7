"""Ec2LoadBalancer: a network load balancer before the routers. It passes connections on as they are, TLS unopened."""

from typing import Any, ClassVar

from ..errors import ProviderError
from ..resource import Values
from ..values import contains_unknown
from . import load_balancer_plan
from .aws import Aws
from .load_balancer_parts import Parts, described, read
from .load_balancer_plan import Step
from .ownership import RESOURCE, STACK, short_name, tags
from .resource import Ec2Resource

ACTIVE_SECONDS = 900.0
GONE_SECONDS = 300.0
MAX_STEPS = 200


class Ec2LoadBalancer(Ec2Resource):
    """Inputs ``region``, ``stack``, ``vpcId``, ``subnetIds``, ``groupIds``, ``instanceIds``, ``ports``.

    ``ports`` is the port that it listens at → the hosts' port. Output ``dnsName``, which the domain is pointed at.
    A host is sent connections while its port takes them, and sees the client's own address.
    """

    required: ClassVar = {
        "region": str,
        "stack": str,
        "vpcId": str,
        "subnetIds": list,
        "groupIds": list,
        "instanceIds": list,
        "ports": dict,
    }
    computed: ClassVar = ("dnsName",)
    replacing: ClassVar = Ec2Resource.replacing | {"vpcId"}

    def check(self, inputs: Values) -> Values:
        """Refuses ports that are none."""
        checked = super().check(inputs)
        if not contains_unknown(checked["ports"]):
            load_balancer_plan.check(checked)
        return checked

    def obtain(self, aws: Aws, resource: str, inputs: Values) -> str:
        """The load balancer; a name is there once."""
        name = short_name(resource)

        def find() -> Any:
            found = aws.call("elbv2", "describe_load_balancers", gone={}, Names=[name]).get("LoadBalancers")
            return found[0] if found else None

        def make() -> Any:
            answer = aws.call(
                "elbv2",
                "create_load_balancer",
                repeatable=False,
                Name=name,
                Type="network",
                Scheme="internet-facing",
                Subnets=sorted(inputs["subnetIds"]),
                SecurityGroups=sorted(inputs["groupIds"]),
                Tags=tags(inputs["stack"], resource),
            )
            return answer["LoadBalancers"][0]

        return str(aws.obtained("the load balancer", find, make)["LoadBalancerArn"])

    def converge(self, aws: Aws, own: str, values: Values) -> Values:
        """Does what it lacks, then waits until it is active."""
        parts = Parts(aws, values["resource"], values, read(aws, own, values["resource"]))
        for _ in range(MAX_STEPS):
            step: Step | None = next(load_balancer_plan.steps(parts.state, values), None)
            if step is None:
                break
            parts.do(step)

        def look() -> tuple[Any, str]:
            found = described(aws, own)
            state = found["State"]["Code"] if found else "gone"
            if state == "failed":
                raise ProviderError("load balancer", found["State"].get("Reason") or "failed", "run 'up' again")
            # 'active_impaired' serves, and grows when AWS has room.
            return (found if state in ("active", "active_impaired") else None), state

        return {"dnsName": aws.wait("the load balancer", look, ACTIVE_SECONDS)["DNSName"]}

    def observe(self, aws: Aws, own: str, state: Values) -> Values | None:
        """What is otherwise than declared is the drift."""
        found = described(aws, own)
        if not found:
            return None
        actual = read(aws, own, state["resource"])
        drift = [str(step) for step in load_balancer_plan.steps(actual, state)]
        return {**state, "dnsName": found["DNSName"], "drift": drift}

    def imported(self, aws: Aws, own: str, known: Values) -> Values | None:
        """Declared is what there is."""
        found = described(aws, own)
        if not found:
            return None
        described_tags = aws.call("elbv2", "describe_tags", ResourceArns=[own])["TagDescriptions"][0]["Tags"]
        marked = {each["Key"]: each["Value"] for each in described_tags}
        resource = str(marked.get(RESOURCE, known["resource"]))
        actual = read(aws, own, resource)
        instances = {each for target in actual.targets.values() for each in target.instances}
        return {
            **known,
            "stack": marked.get(STACK, ""),
            "resource": resource,
            "vpcId": found["VpcId"],
            "subnetIds": sorted(actual.subnets),
            "groupIds": sorted(actual.groups),
            "instanceIds": sorted(instances),
            "ports": {str(port): target.target_port for port, target in actual.targets.items()},
        }

    def remove(self, aws: Aws, own: str, state: Values) -> None:
        """It, then the target groups that it leaves."""
        targets = read(aws, own, state["resource"]).targets if described(aws, own) else {}
        aws.call("elbv2", "delete_load_balancer", gone={}, LoadBalancerArn=own)

        def look() -> tuple[bool | None, str]:
            return (None if described(aws, own) else True), "there"

        aws.wait("the end of the load balancer", look, GONE_SECONDS)
        parts = Parts(aws, state["resource"], state, load_balancer_plan.State(own, targets=targets))
        parts.remove_targets([*targets, *load_balancer_plan.ports(state)])

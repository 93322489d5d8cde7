"""The parts of a load balancer at AWS: target groups, listeners. Read, made and removed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .aws import Aws, codes
from .load_balancer_plan import State, Step, Target, ports
from .ownership import short_name, tags

CROSS_ZONE = "load_balancing.cross_zone.enabled"
LEAVING_SECONDS = 300.0
CHECK_SECONDS = 10
"""How often a host's port is tried; twice in vain, and it gets no more connections."""


def described(aws: Aws, own: str) -> Any:
    """The load balancer as AWS describes it; None when there is none."""
    found = aws.call("elbv2", "describe_load_balancers", gone={}, LoadBalancerArns=[own]).get("LoadBalancers")
    return found[0] if found else None


def read(aws: Aws, own: str, resource: str) -> State:
    """The load balancer with its listeners, target groups and their instances."""
    found = described(aws, own)
    attributes = aws.call("elbv2", "describe_load_balancer_attributes", LoadBalancerArn=own)["Attributes"]
    state = State(
        arn=own,
        subnets=frozenset(zone["SubnetId"] for zone in found["AvailabilityZones"]),
        groups=frozenset(found.get("SecurityGroups") or ()),
        cross_zone=any(each["Key"] == CROSS_ZONE and each["Value"] == "true" for each in attributes),
    )
    for listener in aws.listed("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=own):
        arn = listener["DefaultActions"][0]["TargetGroupArn"]
        group = aws.call("elbv2", "describe_target_groups", TargetGroupArns=[arn])["TargetGroups"][0]
        health = aws.call("elbv2", "describe_target_health", TargetGroupArn=arn)["TargetHealthDescriptions"]
        instances = {each["Target"]["Id"] for each in health if _stays(each)}
        state.targets[listener["Port"]] = Target(arn, group["Port"], instances, listener["ListenerArn"])
    return state


def _stays(health: Mapping[str, Any]) -> bool:
    return bool((health.get("TargetHealth") or {}).get("State") != "draining")


class Parts:
    """A load balancer's parts; ``state`` follows each step that is done."""

    def __init__(self, aws: Aws, resource: str, inputs: Mapping[str, Any], state: State) -> None:
        """``inputs`` as declared."""
        self._aws, self._resource, self._inputs, self.state = aws, resource, inputs, state

    def do(self, step: Step) -> None:
        """Makes or removes what the step says."""
        self._aws.operation.status(str(step))
        steps: dict[tuple[str, bool], Callable[[Step], None]] = {
            ("subnets", False): self._set_subnets,
            ("security groups", False): self._set_groups,
            ("balancing over zones", False): self._balance,
            ("target group", False): self._make_target,
            ("targets of port", False): self._register,
            ("targets of port", True): self._deregister,
            ("listener", False): self._listen,
            ("listener", True): self._fall_silent,
        }
        steps[step.what, step.absent](step)

    def _elb(self, name: str, **parameters: Any) -> Any:
        return self._aws.call("elbv2", name, **parameters)

    def _set_subnets(self, step: Step) -> None:
        subnets = sorted(self._inputs["subnetIds"])
        self._elb("set_subnets", LoadBalancerArn=self.state.arn, Subnets=subnets)
        self.state.subnets = frozenset(subnets)

    def _set_groups(self, step: Step) -> None:
        groups = sorted(self._inputs["groupIds"])
        self._elb("set_security_groups", LoadBalancerArn=self.state.arn, SecurityGroups=groups)
        self.state.groups = frozenset(groups)

    def _balance(self, step: Step) -> None:
        attributes = [{"Key": CROSS_ZONE, "Value": "true"}]
        self._elb("modify_load_balancer_attributes", LoadBalancerArn=self.state.arn, Attributes=attributes)
        self.state.cross_zone = True

    def _make_target(self, step: Step) -> None:
        """A name is there once, and says its ports."""
        target_port = ports(self._inputs)[step.port]
        name = short_name(self._resource, f"{step.port}-{target_port}")

        def find() -> Any:
            return next(iter(self._elb("describe_target_groups", gone={}, Names=[name]).get("TargetGroups", ())), None)

        def make() -> Any:
            answer = self._elb(
                "create_target_group",
                repeatable=False,
                Name=name,
                Protocol="TCP",
                Port=target_port,
                VpcId=self._inputs["vpcId"],
                TargetType="instance",
                HealthCheckProtocol="TCP",
                HealthCheckIntervalSeconds=CHECK_SECONDS,
                HealthyThresholdCount=2,
                UnhealthyThresholdCount=2,
                Tags=tags(self._inputs["stack"], self._resource, f"port {step.port}"),
            )
            return answer["TargetGroups"][0]

        found = self._aws.obtained(f"the target group {name}", find, make)
        self.state.targets[step.port] = Target(found["TargetGroupArn"], target_port)

    def _register(self, step: Step) -> None:
        target = self.state.targets[step.port]
        instances = [{"Id": each} for each in step.instances]
        self._elb("register_targets", TargetGroupArn=target.arn, Targets=instances, again=codes("InvalidTarget"))
        target.instances |= set(step.instances)

    def _deregister(self, step: Step) -> None:
        target = self.state.targets[step.port]
        instances = [{"Id": each} for each in step.instances]
        self._elb("deregister_targets", gone={}, TargetGroupArn=target.arn, Targets=instances)
        target.instances -= set(step.instances)

    def _listen(self, step: Step) -> None:
        target = self.state.targets[step.port]
        answer = self._aws.once(
            "elbv2",
            "create_listener",
            "DuplicateListener",
            LoadBalancerArn=self.state.arn,
            Protocol="TCP",
            Port=step.port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": target.arn}],
            Tags=tags(self._inputs["stack"], self._resource, f"port {step.port}"),
        )
        target.listener_arn = answer["Listeners"][0]["ListenerArn"] if answer else "there"

    def _fall_silent(self, step: Step) -> None:
        target = self.state.targets.pop(step.port)
        self._elb("delete_listener", gone={}, ListenerArn=target.listener_arn)
        self._delete_target(target.arn)

    def _delete_target(self, arn: str) -> None:
        passes = codes("ResourceInUse")
        self._elb("delete_target_group", gone={}, again=passes, seconds=LEAVING_SECONDS, TargetGroupArn=arn)

    def remove_targets(self, listened: Iterable[int]) -> None:
        """Removes the target groups of these ports, also of those that never got a listener."""
        arns = {target.arn for target in self.state.targets.values()}
        for port, target_port in ports(self._inputs).items():
            name = short_name(self._resource, f"{port}-{target_port}")
            found = self._elb("describe_target_groups", gone={}, Names=[name]).get("TargetGroups", ())
            arns |= {each["TargetGroupArn"] for each in found}
        for arn in sorted(arns):
            self._delete_target(arn)

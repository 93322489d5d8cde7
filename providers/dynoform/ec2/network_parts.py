"""The parts of a network at AWS: read, made and removed, each by one call."""

from collections.abc import Callable, Mapping
from typing import Any

from .aws import Aws, codes
from .network_plan import ANYWHERE, GROUP, Group, State, Step, Subnet
from .ownership import PART, filters, specification, token

LEAVING_SECONDS = 300.0
"""How long what still holds a part, such as the network interface of a host that ends, may take to go."""


class Parts:
    """Parts of the VPC ``state.vpc_id`` that belong to a resource; ``state`` follows each step that is done.

    It is not read again after a step: what was just made may not be listed yet.
    """

    def __init__(self, aws: Aws, stack: str, resource: str, state: State, subnets: Mapping[str, str]) -> None:
        """``state`` as read before, or of an empty VPC; ``subnets`` are the declared ones, zone → IPv4 network."""
        self._aws, self._stack, self._resource, self.state, self._subnets = aws, stack, resource, state, subnets

    def do(self, step: Step) -> None:
        """Makes or removes what the step says."""
        self._aws.operation.status(str(step))
        steps: dict[tuple[str, bool], Callable[[Step], None]] = {
            ("DNS names", False): self._name_hosts,
            ("internet gateway", False): self._make_gateway,
            ("attachment of the internet gateway", False): self._attach_gateway,
            ("route table", False): self._make_route_table,
            ("route to the internet", False): self._make_route,
            ("subnet", False): self._make_subnet,
            ("subnet", True): self._remove_subnet,
            ("route of the subnet", False): self._route_subnet,
            ("security group", False): self._make_group,
            ("security group", True): self._remove_group,
            ("rule of", False): self._allow,
            ("rule of", True): self._forbid,
        }
        steps[step.kind, step.absent](step)

    def _ec2(self, name: str, **parameters: Any) -> Any:
        return self._aws.call("ec2", name, **parameters)

    def _part(self, kind: str, part: str) -> list[dict[str, Any]]:
        return specification(kind, self._stack, self._resource, part)

    def _found(self, listing: str, key: str, part: str, **others: list[str]) -> Any:
        """A part by its tag, if a create that nobody waited for has made it."""
        known = filters(self._stack, self._resource, **{f"tag:{PART}": [part]}, **others)
        return next(self._aws.listed("ec2", listing, key, Filters=known), None)

    def _name_hosts(self, step: Step) -> None:
        self._ec2("modify_vpc_attribute", VpcId=self.state.vpc_id, EnableDnsHostnames={"Value": True})
        self.state.names = True

    def _make_gateway(self, step: Step) -> None:
        def make() -> Any:
            tags = self._part("internet-gateway", "gateway")
            answer = self._ec2("create_internet_gateway", repeatable=False, TagSpecifications=tags)
            return answer["InternetGateway"]

        def find() -> Any:
            return self._found("describe_internet_gateways", "InternetGateways", "gateway")

        self.state.gateway_id = self._aws.obtained("the internet gateway", find, make)["InternetGatewayId"]

    def _attach_gateway(self, step: Step) -> None:
        names = {"InternetGatewayId": self.state.gateway_id, "VpcId": self.state.vpc_id}
        self._aws.once("ec2", "attach_internet_gateway", "Resource.AlreadyAssociated", **names)
        self.state.attached = True

    def _make_route_table(self, step: Step) -> None:
        def make() -> Any:
            answer = self._ec2(
                "create_route_table",
                repeatable=False,
                VpcId=self.state.vpc_id,
                TagSpecifications=self._part("route-table", "routes"),
                ClientToken=token(self.state.vpc_id, "routes"),
            )
            return answer["RouteTable"]

        def find() -> Any:
            return self._found("describe_route_tables", "RouteTables", "routes", vpc_id=[self.state.vpc_id])

        self.state.route_table_id = self._aws.obtained("the route table", find, make)["RouteTableId"]

    def _make_route(self, step: Step) -> None:
        names = {"RouteTableId": self.state.route_table_id, "DestinationCidrBlock": ANYWHERE}
        names["GatewayId"] = self.state.gateway_id
        if self._aws.once("ec2", "create_route", "RouteAlreadyExists", **names) is None:
            # The one that is there leads nowhere: its gateway was another.
            self._ec2("replace_route", **names)
        self.state.route = True

    def _make_subnet(self, step: Step) -> None:
        part = f"subnet {step.name}"

        def make() -> Any:
            answer = self._ec2(
                "create_subnet",
                repeatable=False,
                VpcId=self.state.vpc_id,
                AvailabilityZone=step.name,
                CidrBlock=self._subnets[step.name],
                TagSpecifications=self._part("subnet", part),
            )
            return answer["Subnet"]

        def find() -> Any:
            return self._found("describe_subnets", "Subnets", part, vpc_id=[self.state.vpc_id])

        found = self._aws.obtained(f"the subnet in {step.name}", find, make)
        self.state.subnets[step.name] = Subnet(found["SubnetId"], found["CidrBlock"])

    def _remove_subnet(self, step: Step) -> None:
        subnet = self.state.subnets[step.name]
        if subnet.association_id:
            self._ec2("disassociate_route_table", gone={}, AssociationId=subnet.association_id)
            subnet.association_id = ""
        self._leave("delete_subnet", SubnetId=subnet.id)
        del self.state.subnets[step.name]

    def _route_subnet(self, step: Step) -> None:
        subnet = self.state.subnets[step.name]
        names = {"RouteTableId": self.state.route_table_id, "SubnetId": subnet.id}
        answer = self._aws.once("ec2", "associate_route_table", "Resource.AlreadyAssociated", **names)
        subnet.routed, subnet.association_id = True, (answer or {}).get("AssociationId", "")

    def _make_group(self, step: Step) -> None:
        part = f"group {step.name}"

        def make() -> Any:
            return self._ec2(
                "create_security_group",
                repeatable=False,
                VpcId=self.state.vpc_id,
                GroupName=f"{self._resource}-{step.name}",
                Description=f"Dynoform {self._stack}: {step.name}",
                TagSpecifications=self._part("security-group", part),
            )

        def find() -> Any:
            return self._found("describe_security_groups", "SecurityGroups", part, vpc_id=[self.state.vpc_id])

        self.state.groups[step.name] = Group(self._aws.obtained(f"the group {step.name}", find, make)["GroupId"])

    def _remove_group(self, step: Step) -> None:
        self._leave("delete_security_group", GroupId=self.state.groups[step.name].id)
        del self.state.groups[step.name]

    def _allow(self, step: Step) -> None:
        assert step.rule is not None  # noqa: S101 - a step on rules has one
        group, rule = self.state.groups[step.name], step.rule
        allowed: dict[str, Any] = {
            "IpProtocol": rule.protocol, "FromPort": rule.from_port, "ToPort": rule.to_port,
        }  # fmt: skip
        if rule.source.startswith(GROUP):
            allowed["UserIdGroupPairs"] = [{"GroupId": self.state.groups[rule.source.removeprefix(GROUP)].id}]
        else:
            allowed["IpRanges"] = [{"CidrIp": rule.source}]
        names = {"GroupId": group.id, "IpPermissions": [allowed]}
        answer = self._aws.once("ec2", "authorize_security_group_ingress", "InvalidPermission.Duplicate", **names)
        made = (answer or {}).get("SecurityGroupRules") or [{}]
        group.rules[rule] = made[0].get("SecurityGroupRuleId", "")

    def _forbid(self, step: Step) -> None:
        assert step.rule is not None  # noqa: S101 - a step on rules has one
        group = self.state.groups[step.name]
        rules = [group.rules[step.rule]]
        self._ec2("revoke_security_group_ingress", gone={}, GroupId=group.id, SecurityGroupRuleIds=rules)
        del group.rules[step.rule]

    def _leave(self, name: str, **parameters: Any) -> None:
        """Removes a part that something may still hold for a while."""
        self._ec2(name, gone={}, again=codes("DependencyViolation"), seconds=LEAVING_SECONDS, **parameters)

    def remove_all(self) -> None:
        """Removes every part, and the VPC at last."""
        for name, group in list(self.state.groups.items()):
            for rule in list(group.rules):
                self.do(Step("rule of", name, rule, absent=True))
        for name in list(self.state.groups):
            self.do(Step("security group", name, absent=True))
        for zone in list(self.state.subnets):
            self.do(Step("subnet", zone, absent=True))
        if self.state.route_table_id:
            self._leave("delete_route_table", RouteTableId=self.state.route_table_id)
        if self.state.attached:
            names = {"InternetGatewayId": self.state.gateway_id, "VpcId": self.state.vpc_id}
            self._leave("detach_internet_gateway", **names)
        if self.state.gateway_id:
            self._leave("delete_internet_gateway", InternetGatewayId=self.state.gateway_id)
        self._leave("delete_vpc", VpcId=self.state.vpc_id)

"""Ec2Network: a VPC with a subnet in each zone, a way to the internet, and the security groups of the hosts' roles."""

from typing import Any, ClassVar

from ..resource import Values
from ..values import contains_unknown
from . import network_plan
from .aws import Aws
from .network_parts import Parts
from .network_plan import ANYWHERE, GROUP, Group, Rule, State, Step, Subnet
from .ownership import PART, RESOURCE, STACK, filters, specification, tag
from .resource import Ec2Resource

MAX_STEPS = 1000


class Ec2Network(Ec2Resource):
    """Inputs ``region``, ``stack``, ``cidr``, ``subnets`` (zone → network), ``groups`` (name → rules).

    A rule is ``{protocol, fromPort, toPort, source}``; see ``network_plan.Rule``. Outputs ``vpcId``, ``subnetIds``
    (zone → id), ``groupIds`` (name → id).
    """

    required: ClassVar = {"region": str, "stack": str, "cidr": str, "subnets": dict, "groups": dict}
    computed: ClassVar = ("vpcId", "subnetIds", "groupIds")
    replacing: ClassVar = Ec2Resource.replacing | {"cidr"}

    def check(self, inputs: Values) -> Values:
        """Refuses networks and rules that AWS would refuse half-way."""
        checked = super().check(inputs)
        if not contains_unknown(checked):
            network_plan.check(checked)
        return checked

    def obtain(self, aws: Aws, resource: str, inputs: Values) -> str:
        """The VPC."""

        def find() -> Any:
            known = filters(inputs["stack"], resource)
            return next(aws.listed("ec2", "describe_vpcs", "Vpcs", Filters=known), None)

        def make() -> Any:
            aws.operation.status(f"makes the VPC {inputs['cidr']}")
            tags = specification("vpc", inputs["stack"], resource)
            answer = aws.call("ec2", "create_vpc", repeatable=False, CidrBlock=inputs["cidr"], TagSpecifications=tags)
            return answer["Vpc"]

        return str(aws.obtained("the VPC", find, make)["VpcId"])

    def converge(self, aws: Aws, own: str, values: Values) -> Values:
        """Does step after step, each decided from what there is by then."""
        wanted = network_plan.spec(values)
        parts = _parts(aws, own, values)
        for _ in range(MAX_STEPS):
            step: Step | None = next(network_plan.steps(parts.state, wanted), None)
            if step is None:
                break
            parts.do(step)
        return _outputs(parts.state)

    def observe(self, aws: Aws, own: str, state: Values) -> Values | None:
        """What is otherwise than declared is the drift."""
        if not aws.call("ec2", "describe_vpcs", gone={}, VpcIds=[own]).get("Vpcs"):
            return None
        found = _parts(aws, own, state).state
        drift = [str(step) for step in network_plan.steps(found, network_plan.spec(state))]
        return {**state, **_outputs(found), "drift": drift}

    def imported(self, aws: Aws, own: str, known: Values) -> Values | None:
        """Declared is what there is."""
        vpcs = aws.call("ec2", "describe_vpcs", gone={}, VpcIds=[own]).get("Vpcs")
        if not vpcs:
            return None
        values = {**known, "stack": tag(vpcs[0], STACK), "resource": tag(vpcs[0], RESOURCE) or known["resource"]}
        found = _parts(aws, own, {**values, "subnets": {}}).state
        return {
            **values,
            "cidr": vpcs[0]["CidrBlock"],
            "subnets": {zone: subnet.cidr for zone, subnet in found.subnets.items()},
            "groups": {name: [rule.values() for rule in sorted(group.rules)] for name, group in found.groups.items()},
        }

    def remove(self, aws: Aws, own: str, state: Values) -> None:
        """All parts by their tags, then the VPC."""
        if aws.call("ec2", "describe_vpcs", gone={}, VpcIds=[own]).get("Vpcs"):
            _parts(aws, own, state).remove_all()


def _outputs(state: State) -> Values:
    return {
        "vpcId": state.vpc_id,
        "subnetIds": {zone: subnet.id for zone, subnet in state.subnets.items()},
        "groupIds": {name: group.id for name, group in state.groups.items()},
    }


def _parts(aws: Aws, vpc: str, values: Values) -> Parts:
    """The parts that carry the resource's tags, as they are."""
    stack, resource = values["stack"], values["resource"]
    return Parts(aws, stack, resource, _read(aws, vpc, stack, resource), values["subnets"])


def _read(aws: Aws, vpc: str, stack: str, resource: str) -> State:
    state = State(vpc)
    answer = aws.call("ec2", "describe_vpc_attribute", VpcId=vpc, Attribute="enableDnsHostnames")
    state.names = answer["EnableDnsHostnames"]["Value"]
    known = filters(stack, resource)
    for gateway in aws.listed("ec2", "describe_internet_gateways", "InternetGateways", Filters=known):
        state.gateway_id = gateway["InternetGatewayId"]
        state.attached = any(each["VpcId"] == vpc for each in gateway["Attachments"])
    known = filters(stack, resource, vpc_id=[vpc])
    routed = dict[str, str]()
    for table in aws.listed("ec2", "describe_route_tables", "RouteTables", Filters=known):
        state.route_table_id = table["RouteTableId"]
        state.route = any(_leads_out(route, state.gateway_id) for route in table["Routes"])
        associations = [each for each in table["Associations"] if "SubnetId" in each]
        routed = {each["SubnetId"]: each["RouteTableAssociationId"] for each in associations}
    for subnet in aws.listed("ec2", "describe_subnets", "Subnets", Filters=known):
        own = subnet["SubnetId"]
        found = Subnet(own, subnet["CidrBlock"], own in routed, routed.get(own, ""))
        state.subnets[subnet["AvailabilityZone"]] = found
    for group in aws.listed("ec2", "describe_security_groups", "SecurityGroups", Filters=known):
        state.groups[tag(group, PART).removeprefix("group ")] = Group(group["GroupId"])
    _read_rules(aws, state)
    return state


def _leads_out(route: Values, gateway: str) -> bool:
    there = route.get("DestinationCidrBlock") == ANYWHERE and route.get("GatewayId") == gateway
    return there and route.get("State") != "blackhole"


def _read_rules(aws: Aws, state: State) -> None:
    if not state.groups:
        return
    names = {group.id: name for name, group in state.groups.items()}
    known = [{"Name": "group-id", "Values": list(names)}]
    for rule in aws.listed("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=known):
        if rule["IsEgress"]:
            continue
        other = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
        source = f"{GROUP}{names.get(other, other)}" if other else rule.get("CidrIpv4") or rule.get("CidrIpv6", "")
        found = Rule(rule["IpProtocol"], rule.get("FromPort", -1), rule.get("ToPort", -1), source)
        state.groups[names[rule["GroupId"]]].rules[found] = rule["SecurityGroupRuleId"]

"""A fleet at Amazon EC2: network, key pair, instance profile, hosts, load balancer, by the ``dynoform`` provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi

from components.fleet import MachineArgs

LISTENS = "balancer"
"""Name of the load balancer's own security group."""


@dataclass(frozen=True)
class Ec2HostArgs:
    """A host of a fleet at EC2.

    Parameters:
        machine: the host as the rest of the program knows it; its SSH address is replaced by the one that EC2 gives it.
        instance: its ``instanceTypes``, ``disk``, ``launchTemplate``, ``imageOwner`` and ``imageName``.
        groups: names of its security groups.
        user_data: what it is told before the roles come.
        protected: whether AWS refuses to end it, as does Pulumi: it has data.
    """

    machine: MachineArgs
    instance: Mapping[str, Any]
    groups: Sequence[str]
    user_data: str
    protected: bool = False


@dataclass(frozen=True)
class Ec2FleetArgs:
    """Parameters of ``Ec2Fleet``.

    Parameters:
        stack: the stack that all belongs to.
        region: AWS's name, such as ``eu-central-1``.
        network: IPv4 network of the VPC.
        subnets: zone → IPv4 network of its subnet.
        groups: security group → rules, as ``Ec2Network`` takes them.
        public_key: that lets the operator in by SSH.
        hosts: the platform's first.
        backup_bucket, backup_prefix: where in S3 the hosts may keep backups; an empty bucket is none.
        balanced_ports: ports of the routers that a load balancer listens at; none is no load balancer.
    """

    stack: str
    region: str
    network: str
    subnets: Mapping[str, str]
    groups: Mapping[str, Sequence[Mapping[str, Any]]]
    public_key: str
    hosts: Sequence[Ec2HostArgs]
    backup_bucket: str = ""
    backup_prefix: str = ""
    balanced_ports: Sequence[int] = field(default_factory=tuple)


class Ec2Resource(pulumi.CustomResource):
    """A resource of the ``dynoform`` provider at EC2; ``outputs`` says which properties it has besides its inputs."""

    def __init__(
        self, kind: str, name: str, inputs: Mapping[str, Any], outputs: Sequence[str], opts: pulumi.ResourceOptions
    ) -> None:
        """``kind`` is its class, such as ``Ec2Host``."""
        properties = {**inputs, **dict.fromkeys(outputs)}
        super().__init__(f"dynoform:index:{kind}", name, properties, opts)

    def output(self, name: str) -> pulumi.Output[Any]:
        """One of its outputs."""
        found: pulumi.Output[Any] = getattr(self, name)
        return found


class Ec2Fleet(pulumi.ComponentResource):
    """Everything of a stack at EC2."""

    machines: list[MachineArgs]
    """The hosts, reached at the addresses that EC2 gave them."""
    balancer_name: pulumi.Output[str] | None
    """DNS name of the load balancer."""

    def __init__(self, name: str, args: Ec2FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Ec2Fleet", name, None, opts)
        self._name, self._args = name, args
        self._network = self._make(
            "Ec2Network",
            "network",
            {"cidr": args.network, "subnets": dict(args.subnets), "groups": dict(args.groups)},
            ("vpcId", "subnetIds", "groupIds"),
        )
        key_pair = self._make("Ec2KeyPair", "key", {"publicKey": args.public_key}, ("keyName",))
        self._profile = self._backups()
        hosts = [self._host(host, key_pair) for host in args.hosts]
        self.machines = [
            replace(each.machine, inventory=replace(each.machine.inventory, address=made.output("address")))
            for each, made in zip(args.hosts, hosts, strict=True)
        ]
        self.balancer_name = self._balancer(hosts) if args.balanced_ports else None
        self.register_outputs({"addresses": [host.output("address") for host in hosts]})

    def _make(
        self,
        kind: str,
        noun: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> Ec2Resource:
        base = {"region": self._args.region, "stack": self._args.stack}
        options = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self), opts)
        return Ec2Resource(kind, f"{self._name}-{noun}", {**base, **inputs}, outputs, options)

    def _backups(self) -> pulumi.Input[str]:
        """Name of the instance profile; empty where no backups go to S3."""
        if not self._args.backup_bucket:
            return ""
        inputs = {"bucket": self._args.backup_bucket, "prefix": self._args.backup_prefix}
        name: pulumi.Output[str] = self._make("Ec2InstanceProfile", "backups", inputs, ("profileName",)).output(
            "profileName"
        )
        return name

    def _group(self, name: str) -> pulumi.Output[str]:
        return self._network.output("groupIds").apply(lambda found: found[name])

    def _subnet(self, zone: str) -> pulumi.Output[str]:
        return self._network.output("subnetIds").apply(lambda found: found[zone])

    def _host(self, args: Ec2HostArgs, key_pair: Ec2Resource) -> Ec2Resource:
        inputs = {
            **args.instance,
            "subnetId": self._subnet(args.machine.zone),
            "privateAddress": args.machine.private_address,
            "groupIds": [self._group(name) for name in args.groups],
            "keyName": key_pair.output("keyName"),
            "instanceProfile": self._profile,
            "userData": args.user_data,
            "protected": args.protected,
        }
        outputs = ("instanceId", "address")
        protect = pulumi.ResourceOptions(protect=args.protected)
        return self._make("Ec2Host", args.machine.inventory.name, inputs, outputs, protect)

    def _balancer(self, hosts: Sequence[Ec2Resource]) -> pulumi.Output[str]:
        inputs = {
            "vpcId": self._network.output("vpcId"),
            "subnetIds": [self._subnet(zone) for zone in self._args.subnets],
            "groupIds": [self._group(LISTENS)],
            "instanceIds": [host.output("instanceId") for host in hosts],
            "ports": {str(port): port for port in self._args.balanced_ports},
        }
        name: pulumi.Output[str] = self._make("Ec2LoadBalancer", "balancer", inputs, ("dnsName",)).output("dnsName")
        return name

"""Where dynos run: their bridge, the firewall around it, and the trust in the platform's registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.ansible import Playbook, PlaybookArgs
from components.credentials import Certificate, CertificateArgs, CertificateAuthority
from components.fleet import Host
from dynoform.domain.data_services import FIRST_PORT, LAST_PORT


@dataclass(frozen=True)
class DynoRuntimeArgs:
    """Parameters of ``DynoRuntime``.

    Parameters:
        stack: name of the stack.
        hosts: the hosts that are made ready for this runtime's dynos.
        fleet: all hosts of the stack; the first has the platform's services.
        dyno_subnet, platform_subnet: IPv4 networks of the two bridges, in CIDR form.
        registry_address, registry_port: where the registry is.
        router_ports: TCP ports on the dyno gateway that dynos may reach.
        platform_ports: ports of the platform's own services that its processes find at the dyno gateway of each host.
        authority: signs the engine's client certificate for the registry.
    """

    stack: str
    hosts: Sequence[Host]
    fleet: Sequence[Host]
    dyno_subnet: str
    platform_subnet: str
    registry_address: str
    registry_port: int
    router_ports: list[int]
    authority: CertificateAuthority
    platform_ports: Sequence[int] = ()


class DynoRuntime(pulumi.ComponentResource):
    """A runtime for dynos: no dyno reaches another, nor a host, but for the router and add-ons.

    There can be several: a private one has hosts and apps of its own.
    """

    dyno_network_id: pulumi.Output[str]
    platform_network_id: pulumi.Output[str]
    """Both are the swarm's; only of the runtime of the first host."""
    variables: dict[str, dict[str, pulumi.Input[Any]]]
    """Host → what the role is told of it; a key is in it."""

    def __init__(self, name: str, args: DynoRuntimeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:DynoRuntime", name, None, opts)
        self._name, self._args = name, args
        self.variables = {}
        self._engine = Certificate(
            f"{name}-engine-certificate",
            CertificateArgs(
                common_name="engine",
                client=True,
                ca_cert_pem=args.authority.cert_pem,
                ca_key_pem=args.authority.key_pem,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        first, *others = args.hosts
        playbook = self._prepare(first, [])
        self.dyno_network_id = playbook.fact("dyno_network_id")
        self.platform_network_id = playbook.fact("platform_network_id")
        # The networks are the swarm's, made by its first host.
        self.playbooks = [playbook, *(self._prepare(host, [playbook]) for host in others)]
        self.register_outputs({"dynoNetworkId": self.dyno_network_id, "platformNetworkId": self.platform_network_id})

    def _prepare(self, host: Host, after: Sequence[Playbook]) -> Playbook:
        args = self._args
        local = host.inventory.connection == "local"
        variables: dict[str, pulumi.Input[Any]] = {
            "docker_client": host.docker_client,
            "dyno_runtime_docker_root": host.docker_root,
            "dyno_runtime_stack": args.stack,
            "dyno_runtime_dyno_subnet": args.dyno_subnet,
            "dyno_runtime_platform_subnet": args.platform_subnet,
            "dyno_runtime_router_ports": args.router_ports,
            "dyno_runtime_addon_ports": [f"{FIRST_PORT}-{LAST_PORT}"],
            "registry_trust_address": args.registry_address,
            "registry_trust_port": args.registry_port,
            "registry_trust_ca_certificate": args.authority.cert_pem,
            "registry_trust_client_certificate": self._engine.cert_pem,
            **({} if local else self._fleet_variables(host)),
        }
        secrets = {"registry_trust_client_key": self._engine.key_pem}
        self.variables[host.inventory.name] = {**variables, **secrets}
        return Playbook(
            f"{self._name}-roles" if local else f"{self._name}-{host.inventory.name}-roles",
            PlaybookArgs(
                playbook="playbooks/dyno_runtime.yml",
                absent_playbook="playbooks/dyno_runtime_absent.yml",
                host=host.inventory,
                beside=host.beside,
                variables=variables,
                secret_variables=secrets,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[host.playbook, *after]),
        )

    def _fleet_variables(self, host: Host) -> dict[str, pulumi.Input[Any]]:
        """What a host among others has to know: its own address and theirs, and what the dyno manager places by."""
        others = [other.args.private_address for other in self._args.fleet if other is not host]
        return {
            **host.swarm_variables(),
            **({"dyno_runtime_platform_ports": list(self._args.platform_ports)} if self._args.platform_ports else {}),
            "dyno_runtime_private_address": host.args.private_address,
            "dyno_runtime_fleet_addresses": others,
            "host_runtime": host.args.runtime,
            "host_zone": host.args.zone,
            "host_builder": "true" if host.args.builder else "false",
            "host_data": "true" if host.args.data else "false",
            "dyno_runtime_manager": host.beside[0].name if host.beside else "",
            "host_platform": "true" if host is self._args.fleet[0] else "false",
        }

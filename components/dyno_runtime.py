"""Where dynos run: their bridge, the firewall around it, and the trust in the platform's registry."""

from dataclasses import dataclass

import pulumi

from components.ansible import Playbook, PlaybookArgs
from components.credentials import Certificate, CertificateArgs, CertificateAuthority
from components.fleet import Host


@dataclass(frozen=True)
class DynoRuntimeArgs:
    """Parameters of ``DynoRuntime``.

    Parameters:
        stack: name of the stack.
        host: the host that is made ready for dynos.
        dyno_subnet, platform_subnet: IPv4 networks of the two bridges, in CIDR form.
        registry_port: where the registry is, on the platform's bridge.
        router_ports: TCP ports on the dyno gateway that dynos may reach.
        authority: signs the engine's client certificate for the registry.
    """

    stack: str
    host: Host
    dyno_subnet: str
    platform_subnet: str
    registry_port: int
    router_ports: list[int]
    authority: CertificateAuthority


class DynoRuntime(pulumi.ComponentResource):
    """The runtime for dynos on a host: no dyno reaches another, nor the host, but for the router and add-ons."""

    dyno_network_id: pulumi.Output[str]
    platform_network_id: pulumi.Output[str]

    def __init__(self, name: str, args: DynoRuntimeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:DynoRuntime", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        engine = Certificate(
            f"{name}-engine-certificate",
            CertificateArgs(
                common_name="engine",
                client=True,
                ca_cert_pem=args.authority.cert_pem,
                ca_key_pem=args.authority.key_pem,
            ),
            own,
        )
        playbook = Playbook(
            f"{name}-roles",
            PlaybookArgs(
                playbook="playbooks/dyno_runtime.yml",
                absent_playbook="playbooks/dyno_runtime_absent.yml",
                host=args.host.inventory,
                variables={
                    "docker_client": args.host.docker_client,
                    "dyno_runtime_stack": args.stack,
                    "dyno_runtime_dyno_subnet": args.dyno_subnet,
                    "dyno_runtime_platform_subnet": args.platform_subnet,
                    "dyno_runtime_router_ports": args.router_ports,
                    "dyno_runtime_registry_port": args.registry_port,
                    "dyno_runtime_registry_ca_certificate": args.authority.cert_pem,
                    "dyno_runtime_registry_client_certificate": engine.cert_pem,
                },
                secret_variables={"dyno_runtime_registry_client_key": engine.key_pem},
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[args.host.playbook]),
        )
        self.dyno_network_id = playbook.fact("dyno_network_id")
        self.platform_network_id = playbook.fact("platform_network_id")
        self.register_outputs({"dynoNetworkId": self.dyno_network_id, "platformNetworkId": self.platform_network_id})

"""The router: HAProxy on every router host, on the host's own network."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.credentials import Certificate, CertificateArgs, CertificateAuthority
from components.logplex import AUTHORITY_FILE
from components.platform_service import HAPROXY_STOP, Mount, SecretFile, ServiceSpec, service_args
from components.secret import swarm_secret
from components.volume import stack_volume
from dynoform.domain import api_certificates

USER = "990"
"""The image's user; the router agent has the same, to write what HAProxy reads."""


@dataclass(frozen=True)
class RouterArgs:
    """Parameters of ``Router``.

    Parameters:
        stack: name of the stack.
        image: image with tag.
        network_id: engine id of the network ``host``.
        environment: what the router's entrypoint needs: addresses and ports.
        domain: apps' domain; the certificate is for it, its sub-domains and ``localhost``.
        apps: names of apps that the certificate names one by one: clients do not take ``*.localhost``.
        addresses: IP addresses that the certificate names too.
        authority: signs the router's certificate.
        logplex_secret: the certificate of the log plane's authority as a Swarm secret.
        own_api_names: whether that certificate is for the API's names on the domain too; not when another one is.
        own_app_names: the same for apps' names.
    """

    stack: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    environment: dict[str, pulumi.Input[str]]
    domain: str
    apps: Sequence[str]
    addresses: list[str]
    authority: CertificateAuthority
    logplex_secret: docker.Secret
    own_api_names: bool = True
    own_app_names: bool = True


class Router(pulumi.ComponentResource):
    """HAProxy. What it routes is written by the control plane's router agent into the volume that both share."""

    state: docker.Volume
    """Configuration, host map and control socket."""
    pem: docker.Secret
    """Its certificate with the key."""

    def __init__(self, name: str, args: RouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Router", name, None, opts)
        self._name = name
        self._args = args
        own = pulumi.ResourceOptions(parent=self)
        self.state = stack_volume(f"{name}-state", args.stack, "router", self)
        self.pem = self._pem()
        self.service = docker.Service(f"{name}-service", self._service(), opts=own)
        self.register_outputs({"state": self.state.name})

    def _service(self) -> docker.ServiceArgs:
        args = self._args
        return service_args(
            ServiceSpec(
                stack=args.stack,
                noun="router",
                image=args.image,
                network_id=args.network_id,
                environment=args.environment,
                secrets=[
                    SecretFile("router.pem", self.pem, USER),
                    SecretFile(AUTHORITY_FILE, args.logplex_secret, USER),
                ],
                mounts=[Mount(self.state.name, "/var/lib/dynoform/router")],
                capabilities=["NET_BIND_SERVICE"],
                stop_grace="30s",
                stop_signal=HAPROXY_STOP,
                everywhere=True,
            )
        )

    def _pem(self) -> docker.Secret:
        args = self._args
        certificate = Certificate(
            f"{self._name}-certificate",
            CertificateArgs(
                common_name="router",
                dns_names=_names(args),
                ip_addresses=args.addresses,
                ca_cert_pem=args.authority.cert_pem,
                ca_key_pem=args.authority.key_pem,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        pem = pulumi.Output.concat(certificate.cert_pem, certificate.key_pem)
        return swarm_secret(f"{self._name}-pem", args.stack, pem, self)


def _names(args: RouterArgs) -> list[str]:
    domain = args.domain
    names = {"localhost", "*.localhost", "api.localhost", "registry.localhost"}
    if domain == "localhost":
        # Docker and others take no "*.localhost", so what is to be reached under it is named.
        return sorted(names | {f"{app}.{domain}" for app in args.apps})
    if args.own_app_names:
        names |= {domain, f"*.{domain}"}
    if args.own_api_names:
        names |= set(api_certificates.names(domain))
    return sorted(names)

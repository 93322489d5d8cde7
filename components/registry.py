"""The platform's own image registry: slugs go in and out of it by digest."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.credentials import Certificate, CertificateArgs, CertificateAuthority
from components.platform_service import Mount, SecretFile, ServiceSpec, service_args
from components.secret import swarm_secret
from components.volume import stack_volume

PORT = 5000
"""In the container."""
USER = "801"
"""The image's user."""


@dataclass(frozen=True)
class RegistryArgs:
    """Parameters of ``Registry``.

    Parameters:
        stack: name of the stack.
        image: image with tag.
        network_id: engine id of the platform's bridge.
        address, port: the host's address on that bridge, and the port there.
        authority: signs its certificate, and those of the clients that it lets in.
        authority_secret: the authority's certificate as a Swarm secret.
        constraints: what the host has to be that it runs on; none for any.
    """

    stack: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    address: str
    port: int
    authority: CertificateAuthority
    authority_secret: docker.Secret
    constraints: Sequence[str] = ()


class Registry(pulumi.ComponentResource):
    """Debian's docker-registry over TLS; only clients with a certificate of the stack's authority are served."""

    address: pulumi.Output[str]
    """``host:port``, the first part of image references."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Registry", name, None, opts)
        self._name = name
        self._args = args
        service = docker.Service(f"{name}-service", self._service(), opts=pulumi.ResourceOptions(parent=self))
        self.address = service.id.apply(lambda _: f"{args.address}:{args.port}")
        self.register_outputs({"address": self.address})

    def _service(self) -> docker.ServiceArgs:
        args = self._args
        certificate = Certificate(
            f"{self._name}-certificate",
            CertificateArgs(
                common_name="registry",
                ip_addresses=[args.address],
                ca_cert_pem=args.authority.cert_pem,
                ca_key_pem=args.authority.key_pem,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return service_args(
            ServiceSpec(
                stack=args.stack,
                noun="registry",
                image=args.image,
                network_id=args.network_id,
                secrets=[
                    SecretFile("ca.crt", args.authority_secret, USER),
                    SecretFile("registry.crt", self._secret("crt", certificate.cert_pem), USER),
                    SecretFile("registry.key", self._secret("key", certificate.key_pem), USER),
                ],
                mounts=[Mount(self._volume().name, "/var/lib/registry")],
                ports={PORT: args.port},
                memory_mib=128,
                constraints=args.constraints,
            )
        )

    def _secret(self, noun: str, value: pulumi.Output[str]) -> docker.Secret:
        return swarm_secret(f"{self._name}-{noun}", self._args.stack, value, self)

    def _volume(self) -> docker.Volume:
        # Releases need their slugs.
        return stack_volume(f"{self._name}-slugs", self._args.stack, "registry", self, keep=True)

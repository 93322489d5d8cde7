"""What a database shows to its clients: a certificate of the stack's authority for the address that they know it by."""

import ipaddress
from collections.abc import Mapping, Sequence

import pulumi

from components.credentials import Certificate, CertificateArgs
from components.platform_service import SecretFile
from components.secret import swarm_secret

CERTIFICATE, KEY = "server.crt", "server.key"


class ServerCertificate:
    """A certificate with its key, as secret files for a user of a container."""

    path = f"/run/secrets/{CERTIFICATE}"
    """Where the certificate is in the container; the key is beside it."""
    files: Sequence[SecretFile]

    def __init__(
        self,
        name: str,
        stack: str,
        address: str,
        authority: Mapping[str, pulumi.Input[str]],
        uid: str,
        labels: Mapping[str, str],
        parent: pulumi.Resource,
        client_name: str = "",
        others: Sequence[str] = (),
    ) -> None:
        """``authority`` has ``cert_pem`` and ``key_pem``; ``uid`` is who may read the files.

        ``client_name`` is whom the certificate names where the server is a client of others, too; ``others`` are
        further IP addresses that it is reached by.
        """
        issued = Certificate(
            f"{name}-certificate",
            CertificateArgs(
                common_name=client_name or address,
                ca_cert_pem=authority["cert_pem"],
                ca_key_pem=authority["key_pem"],
                dns_names=[] if _is_ip(address) else [address],
                ip_addresses=[*([address] if _is_ip(address) else []), *others],
                client=bool(client_name),
            ),
            pulumi.ResourceOptions(parent=parent),
        )
        parts = {CERTIFICATE: ("crt", issued.cert_pem), KEY: ("key", issued.key_pem)}
        self.files = [
            SecretFile(file, swarm_secret(f"{name}-{noun}", stack, value, parent, labels), uid)
            for file, (noun, value) in parts.items()
        ]


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True

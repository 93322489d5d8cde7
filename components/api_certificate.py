"""The certificate of the API's names, when the operator brings one."""

from dataclasses import dataclass
from typing import Any

import pulumi

from components.app import ApiArgs


@dataclass(frozen=True)
class ApiCertificateArgs:
    """Parameters of ``ApiCertificate``.

    Parameters:
        api: the platform.
        chain: PEM, the server's certificate first.
        key: its private key, PEM, a secret.
    """

    api: ApiArgs
    chain: str
    key: pulumi.Input[str]


class ApiCertificate(pulumi.CustomResource):
    """Served on the API's names, by router and rendezvous, from a few seconds after on."""

    def __init__(self, name: str, args: ApiCertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        properties: dict[str, Any] = {
            "api": {
                "url": args.api.url,
                "caCertPem": args.api.ca_cert_pem,
                "token": pulumi.Output.secret(args.api.token),
            },
            "chain": args.chain,
            "key": pulumi.Output.secret(args.key),
        }
        super().__init__("dynoform:index:ApiCertificate", name, properties, opts)

"""Passwords, and the certificates of the stack's own authority: made once, kept in the state, encrypted there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

ALPHANUMERIC = "alphanumeric"
KEY_32_BYTES = "urlsafe-base64-32"


@dataclass(frozen=True)
class PasswordArgs:
    """Parameters of ``Password``.

    Parameters:
        length: number of characters, 12 to 256; not used by ``KEY_32_BYTES``.
        encoding: ``ALPHANUMERIC``, or ``KEY_32_BYTES``: 32 random bytes in URL-safe base64.
        keepers: a new password is made when one of these changes, and never else.
    """

    length: int = 32
    encoding: str = ALPHANUMERIC
    keepers: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)


class Password(pulumi.CustomResource):
    """A random password that stays the same for the life of the resource."""

    value: pulumi.Output[str]
    """The password, a secret."""

    def __init__(self, name: str, args: PasswordArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        properties: dict[str, Any] = {
            "length": args.length,
            "encoding": args.encoding,
            "keepers": dict(args.keepers),
            "value": None,
        }
        super().__init__("dynoform:index:Password", name, properties, _secret(opts, "value"))


_ISSUED = {"cert_pem": "certPem", "key_pem": "keyPem", "not_after": "notAfter"}
_OUTPUTS: dict[str, Any] = dict.fromkeys(_ISSUED)


class _Issued(pulumi.CustomResource):
    """What authorities and certificates give."""

    cert_pem: pulumi.Output[str]
    key_pem: pulumi.Output[str]
    """A secret."""
    not_after: pulumi.Output[str]
    """End of its life, ISO 8601 in UTC."""

    def translate_input_property(self, prop: str) -> str:
        """The provider's name of a Python attribute."""
        return _ISSUED.get(prop, prop)

    def translate_output_property(self, prop: str) -> str:
        """The Python attribute of a provider's name."""
        return next((name for name, theirs in _ISSUED.items() if theirs == prop), prop)


@dataclass(frozen=True)
class CertificateAuthorityArgs:
    """Parameters of ``CertificateAuthority``.

    Parameters:
        common_name: what people see in a list of authorities.
    """

    common_name: str


class CertificateAuthority(_Issued):
    """An authority that signs leaf certificates, for ten years."""

    def __init__(self, name: str, args: CertificateAuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        properties: dict[str, Any] = {"commonName": args.common_name, **_OUTPUTS}
        super().__init__("dynoform:index:CertificateAuthority", name, properties, _secret(opts, "key_pem"))


@dataclass(frozen=True)
class CertificateArgs:
    """Parameters of ``Certificate``.

    Parameters:
        common_name: whom it names.
        ca_cert_pem, ca_key_pem: the authority's, PEM.
        dns_names, ip_addresses: what it serves; empty for one that is only shown by a client.
        client: whether a client may show it.
    """

    common_name: str
    ca_cert_pem: pulumi.Input[str]
    ca_key_pem: pulumi.Input[str]
    dns_names: Sequence[str] = ()
    ip_addresses: Sequence[str] = ()
    client: bool = False


class Certificate(_Issued):
    """A certificate of an authority, for 397 days; ``pulumi up`` renews it when less than a third of that is left."""

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        properties: dict[str, Any] = {
            "commonName": args.common_name,
            "caCertPem": args.ca_cert_pem,
            "caKeyPem": pulumi.Output.secret(args.ca_key_pem),
            "dnsNames": list(args.dns_names),
            "ipAddresses": list(args.ip_addresses),
            "client": args.client,
            **_OUTPUTS,
        }
        super().__init__("dynoform:index:Certificate", name, properties, _secret(opts, "key_pem"))


def _secret(opts: pulumi.ResourceOptions | None, *outputs: str) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=list(outputs)))

"""SNI endpoints in the store: what is written down of a certificate."""

import ssl
import warnings
from contextlib import suppress
from functools import cache

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from dynoform.configuration import Configuration
from dynoform.domain.certificates import Certificate
from dynoform.store.certificate_keys import seal
from dynoform.store.tables import SniEndpoint


def fill(configuration: Configuration, endpoint: SniEndpoint, certificate: Certificate, key: str) -> None:
    """Let the endpoint have this certificate with its key."""
    endpoint.certificate_chain = certificate.chain
    endpoint.private_key = seal(configuration, endpoint.id, key)
    endpoint.sealed_for_routers = True
    endpoint.cert_domains = list(certificate.domains)
    endpoint.issuer, endpoint.subject = certificate.issuer, certificate.subject
    endpoint.starts_at, endpoint.expires_at = certificate.starts_at, certificate.expires_at
    endpoint.self_signed, endpoint.ca_signed = certificate.self_signed, certificate.ca_signed


@cache
def authorities() -> tuple[x509.Certificate, ...]:
    """The certificates that this system trusts, as a browser's do."""
    found = []
    with warnings.catch_warnings(action="error"):
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            # Some old authorities break the rules: those are refused now, or said to be refused soon.
            with suppress(ValueError, CryptographyDeprecationWarning):
                found.append(x509.load_der_x509_certificate(der))
    return tuple(found)

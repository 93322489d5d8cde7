"""TLS between the log plane, those that send lines to it and those that read them.

An authority of its own signs the log plane's certificate, and nothing else: rsyslog looks at who signed, not for whom.
Those that read show a certificate of the stack's authority.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from dynoform.configuration import Configuration

NAME = "logplex"
"""What the log plane's certificate is for, wherever it runs."""


@dataclass(frozen=True)
class Identity:
    """The log plane's own certificate, and the authority of its readers' ones: PEM files."""

    certificate: Path
    key: Path
    authority: Path

    @classmethod
    def of(cls, configuration: Configuration) -> "Identity | None":
        """What the configuration says; None for a log plane without TLS."""
        if configuration.logplex_authority is None:
            return None
        secrets = configuration.secrets
        return cls(secrets / "logplex.crt", secrets / "logplex.key", secrets / "ca.crt")

    def for_all(self) -> ssl.SSLContext:
        """Serve whoever comes: lines are only taken there, never given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context

    def for_members(self) -> ssl.SSLContext:
        """Serve only those that have a client's certificate of the authority's: all apps' lines can be read there."""
        context = self.for_all()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority)
        return context


def client(configuration: Configuration, *, member: bool = False) -> ssl.SSLContext | None:
    """How to connect to the log plane: trusting its authority alone; None when it is without TLS.

    A ``member`` shows its certificate, which only the API's process has.
    """
    if configuration.logplex_authority is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(configuration.logplex_authority)
    if member:
        context.load_cert_chain(configuration.secret_path("registry.crt"), configuration.secret_path("registry.key"))
    return context

"""How a platform process shows the image registry who it is: by a client certificate of the stack's authority."""

import ssl

from dynoform.configuration import Configuration
from dynoform.errors import ConfigurationError


def client_context(configuration: Configuration) -> ssl.SSLContext:
    """TLS with the secrets ca.crt, registry.crt and registry.key; ``ConfigurationError`` when they do not fit."""
    try:
        context = ssl.create_default_context(cafile=str(configuration.secret_path("ca.crt")))
        context.load_cert_chain(configuration.secret_path("registry.crt"), configuration.secret_path("registry.key"))
    except (OSError, ssl.SSLError) as error:
        why = f"do not work as a client certificate ({error})"
        raise ConfigurationError("secrets ca.crt, registry.crt and registry.key", why, "run bin/dynoform up") from None
    return context

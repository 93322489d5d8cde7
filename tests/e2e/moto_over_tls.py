"""Moto's S3 as a server that ends TLS as it should: ``python -m tests.e2e.moto_over_tls ADDRESS PORT CERTIFICATE KEY``.

Its own command ends connections without saying so, which pgBackRest takes for an attack.
"""

import contextlib
import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


class Handler(MotoRequestHandler):
    """Says when a connection ends."""

    def finish(self) -> None:
        """After the answer."""
        super().finish()
        with contextlib.suppress(OSError, ValueError):
            self.request.settimeout(2)
            self.request.unwrap()


def main(address: str, port: str, certificate: str, key: str) -> None:
    """Serve until the process ends."""
    application = DomainDispatcherApplication(create_backend_app)
    pair = (certificate, key)
    run_simple(address, int(port), application, threaded=True, ssl_context=pair, request_handler=Handler)


if __name__ == "__main__":
    main(*sys.argv[1:])

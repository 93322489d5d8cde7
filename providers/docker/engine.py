"""The connection to a Docker engine: made at the first use, one per thread, errors in the engine's own words."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import docker
import docker.errors
import requests
import urllib3

from providers.ssh_tunnel import Tunnel, TunnelError

from .configuration import Configuration
from .errors import EngineError, MissingError

TIMEOUT: Final = 60
"""Seconds that the engine may be silent within one request."""

OLDEST_API: Final = "1.41"
"""Of Docker 20.10, spoken where the engine shall not be asked for its own."""

NOT_FOUND: Final = 404
NO_SWARM: Final = 'Use "docker swarm init"'
"""In the answer, with status 503, of an engine that is in no swarm. A worker, which cannot tell, has other words."""


class Engine:
    """Asks one Docker engine. Threads may share it."""

    def __init__(self, configuration: Configuration) -> None:
        """Nothing is contacted yet."""
        self.configuration = configuration
        self._local = threading.local()
        host, options = configuration.host, configuration.ssh_options
        self._tunnel = Tunnel(host, options) if host.startswith("ssh://") else None

    @contextmanager
    def api(self) -> Iterator[docker.APIClient]:
        """The low-level client; what goes wrong inside is raised as ``EngineError`` or ``MissingError``."""
        with self._errors():
            yield self._client()

    def post(
        self,
        path: str,
        body: Any,
        parameters: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """POSTs ``body`` as JSON to ``path`` below the API's version; returns the answer's JSON."""
        with self.api() as client:
            response = client.post(
                f"{client.base_url}/v{client.api_version}{path}",
                json=body,
                params=parameters,
                headers=headers,
                timeout=TIMEOUT,
            )
            try:
                response.raise_for_status()
            except requests.exceptions.HTTPError as error:
                docker.errors.create_api_error_from_http_exception(error)
            return response.json()

    def _client(self) -> docker.APIClient:
        # A tunnel that broke has another address when it is there again.
        host = self._tunnel.socket() if self._tunnel else self.configuration.host
        found: docker.APIClient | None = getattr(self._local, "client", None)
        if found is None or self._local.host != host:
            version = "auto" if self.configuration.ping else OLDEST_API
            found = docker.APIClient(host, version=version, timeout=TIMEOUT)
            self._local.client, self._local.host = found, host
        return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except docker.errors.APIError as error:
            text = f"Error response from daemon: {error.explanation or error}"
            # Without a swarm there are no services, secrets and configs.
            missing = error.status_code == NOT_FOUND or NO_SWARM in text
            raise (MissingError if missing else EngineError)(text) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, TunnelError) as error:
            self._local.client = None
            raise EngineError(
                "failed to create Docker client: Error pinging Docker server, please make sure that "
                f"{self.configuration.host} is reachable and has a  '_ping' endpoint. Error: {error}"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            # In the middle of a stream, of a build's output for instance, where requests has no say any more.
            self._local.client = None
            why = f"the Docker engine at {self.configuration.host} broke off its answer ({error})"
            raise EngineError(f"{why}; see whether it runs, then run 'pulumi up' again") from error

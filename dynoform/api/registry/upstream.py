"""The platform's registry, which only holders of a client certificate reach: connections to it, and pushed images."""

import json
import ssl
import uuid
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dynoform.configuration import Configuration
from dynoform.domain import container_images
from dynoform.domain.container_images import Image
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.registry_access import client_context

if TYPE_CHECKING:
    import httpx

MAXIMUM_DOCUMENT = 4 * 1024 * 1024
"""Bytes of a manifest, an image's config or a list of tags: what the registry itself allows a manifest."""
_CONNECTIONS = 32
_CONNECT_SECONDS = 5
_READ_SECONDS = 300
"""The registry reads a large layer again before it answers that it has it."""
_WAIT_SECONDS = 30
_TAGS = 20


class Upstream:
    """The registry. Nothing is loaded or connected before the first use: few requests are for it."""

    def __init__(self, configuration: Configuration) -> None:
        """Uses the secrets ca.crt, registry.crt and registry.key."""
        self.address = f"{configuration.platform_address}:{configuration.registry_port}"
        self._configuration = configuration
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> "httpx.AsyncClient":
        """For the event loop: streams in both directions, waits for one of its connections when all are in use."""
        import httpx

        if self._client is None:
            limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=4)
            timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS, pool=_WAIT_SECONDS)
            self._client = httpx.AsyncClient(
                base_url=self._url, verify=self._context, limits=limits, timeout=timeout, trust_env=False
            )
        return self._client

    async def close(self) -> None:
        """Hang up, if there was ever a connection."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def image(self, app_id: uuid.UUID, process_type: str, identifier: str) -> Image:
        """The image with this id among those pushed for a process type of the app.

        Raises ``InvalidInputError`` when there is none or it cannot run, ``UnavailableError``.
        """
        import httpx

        repository = container_images.repository(app_id, process_type)
        timeout = httpx.Timeout(_WAIT_SECONDS, connect=_CONNECT_SECONDS)
        try:
            with httpx.Client(base_url=self._url, verify=self._context, timeout=timeout, trust_env=False) as client:
                for tag in _tags(client, repository):
                    digest, manifest = _manifest(client, repository, tag)
                    if _config_of(manifest) == identifier:
                        config = _document(client, f"{repository}/blobs/{identifier}")[1]
                        return container_images.read(process_type, digest, manifest, config)
        except httpx.HTTPError as error:
            raise unavailable() from error
        shown = identifier.removeprefix("sha256:")[:12]
        raise InvalidInputError(
            f"Couldn't find the image {shown} of {process_type}. Push it with heroku container:push, then release it."
        )

    @property
    def _url(self) -> str:
        return f"https://{self.address}"

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return client_context(self._configuration)


def unavailable() -> UnavailableError:
    """What a user is told while the registry does not answer."""
    return UnavailableError("The container registry", "does not answer", "try again in a few seconds")


def closed() -> UnavailableError:
    """What a user is told who pushes while the registry collects its garbage."""
    return UnavailableError("The container registry", "cleans up", "push again in a minute")


def _tags(client: "httpx.Client", repository: str) -> Iterator[str]:
    """The tag that the CLI uses, then the others that there are; not more than a user would wait for."""
    yield container_images.TAG
    found = _document(client, f"{repository}/tags/list")[1].get("tags")
    others = [tag for tag in found if tag != container_images.TAG] if isinstance(found, list) else []
    yield from map(str, others[:_TAGS])


def _manifest(client: "httpx.Client", repository: str, tag: str) -> tuple[str, dict[str, Any]]:
    return _document(client, f"{repository}/manifests/{tag}", ", ".join(container_images.MANIFESTS))


def _config_of(manifest: dict[str, Any]) -> object:
    config = manifest.get("config")
    return config.get("digest") if isinstance(config, dict) else None


def _document(client: "httpx.Client", path: str, accept: str = "*/*") -> tuple[str, dict[str, Any]]:
    """Digest and content of a JSON document; both empty when there is none. It is a client's, so it is not trusted."""
    body = b""
    with client.stream("GET", f"/v2/{path}", headers={"Accept": accept}) as answer:
        if answer.status_code >= 500:
            raise unavailable()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > MAXIMUM_DOCUMENT:
                raise InvalidInputError("The image's manifest or config is too large. Build it again.")
    try:
        content = json.loads(body) if answer.status_code == 200 else {}
    except (ValueError, RecursionError):
        content = {}
    digest = answer.headers.get("Docker-Content-Digest", "")
    return digest, content if isinstance(content, dict) else {}

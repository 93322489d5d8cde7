"""The platform's image registry over its HTTP API, as the holder of a client certificate.

https://distribution.github.io/distribution/spec/api/
"""

from collections.abc import Callable, Iterable
from typing import Any

import httpx

from dynoform.configuration import Configuration
from dynoform.domain.images import MANIFEST, OCI_MANIFEST, Layer, Manifest, sha256
from dynoform.errors import UnavailableError
from dynoform.registry_access import client_context
from dynoform.store.session import attempts

_RETRY_SECONDS = 15.0
_TIMEOUT = httpx.Timeout(30, connect=5)


class Registry:
    """A connection to the registry. Every call may raise ``UnavailableError``; what it had begun leaves no trace."""

    def __init__(self, configuration: Configuration, port: int | None = None) -> None:
        """Uses the secrets ca.crt, registry.crt and registry.key; ``ConfigurationError`` when they do not fit."""
        self.address = f"{configuration.platform_address}:{port or configuration.registry_port}"
        self._client = httpx.Client(
            base_url=f"https://{self.address}", verify=client_context(configuration), timeout=_TIMEOUT, trust_env=False
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def manifest(self, repository: str, reference: str) -> dict[str, Any] | None:
        """The manifest with this tag or digest; None when there is none."""
        accept = {"Accept": f"{MANIFEST}, {OCI_MANIFEST}"}
        answer = self._try("GET", f"{repository}/manifests/{reference}", {200, 404}, headers=accept)
        found: dict[str, Any] = answer.json()
        return found if answer.status_code == 200 else None

    def config(self, repository: str, digest: str) -> dict[str, Any]:
        """The image config with this digest."""
        found: dict[str, Any] = self._try("GET", f"{repository}/blobs/{digest}", {200}).json()
        return found

    def mount(self, repository: str, digest: str, source: str) -> None:
        """Let ``repository`` have a layer of ``source`` without moving a byte."""
        if self._has(repository, digest):
            return
        self._try("POST", f"{repository}/blobs/uploads/", {201}, params={"mount": digest, "from": source})

    def upload(self, repository: str, make: Callable[[], tuple[Iterable[bytes], Callable[[], Layer]]]) -> Layer:
        """Put a layer there whose digest is known only when it has been read.

        ``make`` starts the layer anew: its bytes, and a function that says what they were once all are read. It is
        called again when an upload breaks.
        """
        failure: UnavailableError | None = None
        for _ in attempts(_RETRY_SECONDS):
            chunks, result = make()
            try:
                place = self._send("POST", f"{repository}/blobs/uploads/", {202}).headers["Location"]
                place = self._send("PATCH", place, {202}, content=chunks, headers=_BINARY).headers["Location"]
                layer = result()
                self._send("PUT", place, {201}, params=_with(place, digest=layer.digest))
                return layer
            except UnavailableError as error:
                failure = error
        raise failure or self._unavailable("no attempt was made")

    def push(self, repository: str, tag: str, manifest: Manifest) -> str:
        """Put config and manifest there, under the tag too; returns the digest to pull by. Layers have to be there."""
        self._upload_bytes(repository, manifest.config)
        headers = {"Content-Type": manifest.media_type}
        self._try("PUT", f"{repository}/manifests/{tag}", {201}, content=manifest.body, headers=headers)
        return manifest.digest

    def _upload_bytes(self, repository: str, data: bytes) -> None:
        digest = sha256(data)
        if not self._has(repository, digest):
            place = self._try("POST", f"{repository}/blobs/uploads/", {202}).headers["Location"]
            self._try("PUT", place, {201}, params=_with(place, digest=digest), content=data, headers=_BINARY)

    def _has(self, repository: str, digest: str) -> bool:
        return self._try("HEAD", f"{repository}/blobs/{digest}", {200, 404}).status_code == 200

    def _try(self, method: str, path: str, expected: set[int], **arguments: Any) -> httpx.Response:
        """A call whose repetition does no harm, repeated for a while."""
        failure: UnavailableError | None = None
        for _ in attempts(_RETRY_SECONDS):
            try:
                return self._send(method, path, expected, **arguments)
            except UnavailableError as error:
                failure = error
        raise failure or self._unavailable("no attempt was made")

    def _send(self, method: str, path: str, expected: set[int], **arguments: Any) -> httpx.Response:
        try:
            # What the registry answers as the place of an upload is a whole path; ours begin at a repository.
            answer = self._client.request(method, path if path.startswith("/") else f"/v2/{path}", **arguments)
        except httpx.HTTPError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        if answer.status_code not in expected:
            raise self._unavailable(f"{method} {path.split('?')[0]} answered {answer.status_code} {answer.text[:200]}")
        return answer

    def _unavailable(self, why: str) -> UnavailableError:
        return UnavailableError(f"registry {self.address}", why, "look at the registry with bin/dynoform status")


_BINARY = {"Content-Type": "application/octet-stream"}


def _with(place: str, **parameters: str) -> httpx.QueryParams:
    # httpx replaces an address's own parameters by the ones given; the upload's state is in the former.
    return httpx.URL(place).params.merge(parameters)

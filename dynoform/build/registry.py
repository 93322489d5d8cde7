"""The platform's image registry over its HTTP API, as the holder of a client certificate.

https://distribution.github.io/distribution/spec/api/
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import httpx

from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.domain.images import MANIFEST, OCI_MANIFEST, Manifest, sha256
from dynoform.errors import UnavailableError
from dynoform.registry_access import client_context

_RETRY_SECONDS = 15.0
_CLOSED_SECONDS = 180.0
"""How long a push waits while the registry collects its garbage."""
_CLOSED = 405
_PORTION = 1000
_TIMEOUT = httpx.Timeout(30, connect=5)
T = TypeVar("T")


class ClosedError(UnavailableError):
    """The registry takes no pushes for a moment: it collects its garbage."""


class LayerGoneError(UnavailableError):
    """A layer of an image that was pushed is not there any more: it has to be pushed again, all of it."""


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

    def repositories(self) -> Iterator[str]:
        """All repositories."""
        return self._listed("_catalog", "repositories")

    def tags(self, repository: str) -> Iterator[str]:
        """A repository's tags."""
        return self._listed(f"{repository}/tags/list", "tags")

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of the image with this tag; None when there is none."""
        accept = {"Accept": f"{MANIFEST}, {OCI_MANIFEST}"}
        answer = self._try("HEAD", f"{repository}/manifests/{reference}", {200, 404}, headers=accept)
        return answer.headers.get("Docker-Content-Digest") if answer.status_code == 200 else None

    def mount(self, repository: str, digest: str, source: str) -> None:
        """Let ``repository`` have a layer of ``source`` without moving a byte."""
        if self._has(repository, digest):
            return
        self._try("POST", f"{repository}/blobs/uploads/", {201}, params={"mount": digest, "from": source})

    def upload(self, repository: str, digest: str, read: Callable[[], bytes | Iterable[bytes]]) -> None:
        """Put a layer or a config there, unless it is there: ``read`` gives its bytes, again if an upload breaks."""

        def attempt() -> None:
            place = self._send("POST", f"{repository}/blobs/uploads/", {202}).headers["Location"]
            self._send("PUT", place, {201}, params=_with(place, digest=digest), content=read(), headers=_BINARY)

        if not self._has(repository, digest):
            _patiently(attempt)

    def push(self, repository: str, tag: str, manifest: Manifest) -> str:
        """Put config and manifest there, under the tag too; returns the digest to pull by. Layers have to be there.

        Raises ``LayerGoneError`` when they are not.
        """
        self.upload(repository, sha256(manifest.config), lambda: manifest.config)
        headers = {"Content-Type": manifest.media_type}
        path = f"{repository}/manifests/{tag}"
        answer = self._try("PUT", path, {201, 400}, content=manifest.body, headers=headers)
        if answer.status_code == 400:
            raise LayerGoneError(f"registry {self.address}", f"refuses {path}: {answer.text[:200]}", "push again")
        return manifest.digest

    def delete(self, repository: str, digest: str) -> None:
        """Forget the image with this digest, and its tags; one that is not there is fine.

        Its layers go when the registry collects its garbage. Tried once: who removes what is not needed comes again.
        """
        self._send("DELETE", f"{repository}/manifests/{digest}", {202, 404})

    def _listed(self, path: str, what: str) -> Iterator[str]:
        """All names of a list, which comes in pages; of a repository that is not there, none."""
        last: dict[str, str] = {}
        while True:
            answer = self._try("GET", path, {200, 404}, params={"n": str(_PORTION), **last})
            names = list(map(str, answer.json().get(what) or [])) if answer.status_code == 200 else []
            yield from names
            if "Link" not in answer.headers or not names:
                return
            last = {"last": names[-1]}

    def _has(self, repository: str, digest: str) -> bool:
        return self._try("HEAD", f"{repository}/blobs/{digest}", {200, 404}).status_code == 200

    def _try(self, method: str, path: str, expected: set[int], **arguments: Any) -> httpx.Response:
        """A call whose repetition does no harm, repeated for a while."""
        return _patiently(lambda: self._send(method, path, expected, **arguments))

    def _send(self, method: str, path: str, expected: set[int], **arguments: Any) -> httpx.Response:
        try:
            # What the registry answers as the place of an upload is a whole path; ours begin at a repository.
            answer = self._client.request(method, path if path.startswith("/") else f"/v2/{path}", **arguments)
        except httpx.HTTPError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        if answer.status_code == _CLOSED:
            raise ClosedError(f"registry {self.address}", "collects its garbage", "try again in a minute")
        if answer.status_code not in expected:
            raise self._unavailable(f"{method} {path.split('?')[0]} answered {answer.status_code} {answer.text[:200]}")
        return answer

    def _unavailable(self, why: str) -> UnavailableError:
        return UnavailableError(f"registry {self.address}", why, "look at the registry with bin/dynoform status")


def _patiently(action: Callable[[], T]) -> T:
    """The action's result; tried for a while, and for longer while the registry is closed."""
    deadline = time.monotonic() + _RETRY_SECONDS
    failure = UnavailableError("registry", "no attempt was made")
    for _ in attempts(_CLOSED_SECONDS):
        try:
            return action()
        except UnavailableError as error:
            failure = error
        if isinstance(failure, ClosedError):
            deadline = time.monotonic() + _RETRY_SECONDS
        elif time.monotonic() > deadline:
            break
    raise failure


_BINARY = {"Content-Type": "application/octet-stream"}


def _with(place: str, **parameters: str) -> httpx.QueryParams:
    # httpx replaces an address's own parameters by the ones given; the upload's state is in the former.
    return httpx.URL(place).params.merge(parameters)

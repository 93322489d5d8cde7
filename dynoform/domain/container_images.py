"""Container images of apps: where they are in the platform's registry, and what running one means.

https://devcenter.heroku.com/articles/container-registry-and-runtime
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynoform.domain import dyno_container, images
from dynoform.errors import InvalidInputError

TAG = "latest"
"""The tag that the CLI pushes to and releases from."""
MANIFESTS = (images.MANIFEST, images.OCI_MANIFEST)
"""Media types of images for one platform: what a dyno can be made of."""
_TYPE = re.compile(r"[a-z0-9]+(?:(?:__?|-+)[a-z0-9]+)*")
_MAXIMUM_TYPE = 30
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_SHORT = 12
_MAXIMUM_WORDS = 1000
_MAXIMUM_LABEL = 100


@dataclass(frozen=True)
class Image:
    """A pushed image of one process type. ``digest`` is its manifest's, ``identifier`` its config's, ``size`` bytes."""

    digest: str
    identifier: str
    size: int
    command: str
    """Its ENTRYPOINT and CMD, as words for a shell."""


def repository(app_id: object, process_type: str) -> str:
    """Where an app's images of a type are: by the app's id, so that a rename moves nothing, away from the slugs."""
    return f"containers/{app_id}/{process_type}"


def is_type(name: str) -> bool:
    """Whether images can be pushed for a process type of this name: it has to be part of a repository's name too."""
    return len(name) <= _MAXIMUM_TYPE and _TYPE.fullmatch(name) is not None


def check_identifier(text: str) -> str:
    """An image's id as ``docker inspect`` shows it. Raises ``InvalidInputError`` for another form."""
    if not _IMAGE_ID.fullmatch(text):
        raise InvalidInputError("docker_image must be an image's id: sha256: and 64 hexadecimal digits.")
    return text


def read(process_type: str, digest: str, manifest: Mapping[str, Any], config: Mapping[str, Any]) -> Image:
    """The image that a manifest and its config describe; both were pushed by a client and nothing in them is trusted.

    Raises ``InvalidInputError`` when it cannot run: no command, of another system than Linux, or with labels that only
    the platform gives.
    """
    try:
        identifier = str(manifest["config"]["digest"])
        size = sum(int(layer["size"]) for layer in manifest["layers"])
        system, run = config.get("os", "linux"), config.get("config") or {}
        words = [*_words(run.get("Entrypoint")), *_words(run.get("Cmd"))]
        taken = dyno_container.reserved(run.get("Labels") or {})
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise _unusable(process_type, "has no readable manifest or config", "Build and push it again.") from None
    if system != "linux":
        raise _unusable(
            process_type, "is not made for Linux", "Build it with --platform linux/amd64 and push it again."
        )
    if not words:
        raise _unusable(process_type, "has no CMD", "Add one to its Dockerfile, then push it again.")
    if taken:
        label = repr(taken[0][:_MAXIMUM_LABEL])
        why = f"has the label {label}, which only the platform gives"
        raise _unusable(process_type, why, "Build it without, then push it again.")
    return Image(digest, identifier, max(0, size), shlex.join(words))


def deployed(identifiers: Mapping[str, str]) -> str:
    """``Deployed web (0123456789ab), worker (…)``: a release's description, for process type → image id."""
    parts = (f"{name} ({identifier.removeprefix('sha256:')[:_SHORT]})" for name, identifier in identifiers.items())
    return f"Deployed {', '.join(parts)}"


def removed(types: Sequence[str]) -> str:
    """``Removed worker``: the description when process types are taken away."""
    return f"Removed {', '.join(types)}"


def _words(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MAXIMUM_WORDS or any("\0" in str(word) for word in value):
        raise ValueError(value)
    return [str(word) for word in value]


def _unusable(process_type: str, why: str, next_step: str) -> InvalidInputError:
    return InvalidInputError(f"The image for {process_type} {why}. {next_step}")

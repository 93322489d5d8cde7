"""What an app's image looks like in the registry: the stack's layers and, on top of them, those of the slug.

Formats: https://distribution.github.io/distribution/spec/manifest-v2-2/ and https://github.com/opencontainers/image-spec.
"""

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
# The files of a slug are all of one moment, or the same source would give another layer at every build. Not 0: zip
# files cannot say a time before 1980.
EPOCH = 315_532_801
_CREATED = "1980-01-01T00:00:01Z"
_OF_A_SLUG = re.compile(r"slug(?: \d+ of (\d+))?")
"""What an image's history calls the layers of a slug; the first of them were alone."""


@dataclass(frozen=True)
class Layer:
    """A layer in the registry. ``digest`` and ``size`` are of the compressed bytes, ``diff_id`` of the plain tar."""

    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True)
class Manifest:
    """A manifest and the config that it names, as the bytes that go to the registry."""

    media_type: str
    body: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """The image's digest: what it is pulled by."""
        return sha256(self.body)


def sha256(data: bytes) -> str:
    """``sha256:…`` of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def app_repository(app_id: object) -> str:
    """Where an app's images are in the registry."""
    return f"apps/{app_id}"


def parts(image: str) -> tuple[str, str]:
    """Repository and digest of ``registry:5000/apps/…@sha256:…``."""
    name, _, digest = image.partition("@")
    return name.partition("/")[2], digest


def with_slug(manifest: Mapping[str, Any], config: Mapping[str, Any], slug: Sequence[Layer]) -> Manifest:
    """The image that lays a slug's layers, lowest first, on another one, given that one's manifest and config.

    Depends on its arguments alone: the same slug on the same stack is the same image.
    """
    media_type = str(manifest["mediaType"])
    # What the engine notes about the build of the stack image (its container, its host) is no business of the app's.
    kept = {key: copy.deepcopy(config[key]) for key in ("architecture", "os", "config", "rootfs") if key in config}
    kept["created"] = _CREATED
    kept["rootfs"]["diff_ids"] = [*kept["rootfs"]["diff_ids"], *(layer.diff_id for layer in slug)]
    made = [{"created": _CREATED, "created_by": f"slug {n} of {len(slug)}"} for n in range(1, len(slug) + 1)]
    kept["history"] = [*config.get("history", []), *made]
    body = _encode(kept)
    kind = _OCI_LAYER if media_type == OCI_MANIFEST else _LAYER
    layers = [{"mediaType": kind, "size": layer.size, "digest": layer.digest} for layer in slug]
    return Manifest(
        media_type,
        _encode(
            {
                "schemaVersion": 2,
                "mediaType": media_type,
                "config": {"mediaType": manifest["config"]["mediaType"], "size": len(body), "digest": sha256(body)},
                "layers": [*manifest["layers"], *layers],
            }
        ),
        body,
    )


def slug_of(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> list[Layer]:
    """The slug of an image that ``with_slug`` has made: its top layers, lowest first."""
    match = _OF_A_SLUG.fullmatch(str(config["history"][-1]["created_by"]))
    count = int(match[1] or 1) if match else 1
    found = zip(manifest["layers"][-count:], config["rootfs"]["diff_ids"][-count:], strict=True)
    return [Layer(str(layer["digest"]), int(layer["size"]), str(diff_id)) for layer, diff_id in found]


def checksum(slug: Sequence[Layer]) -> str:
    """``SHA256:…`` of a slug: of its layers' files, however they are compressed."""
    return f"SHA256:{hashlib.sha256(' '.join(layer.diff_id for layer in slug).encode()).hexdigest()}"


def with_settings(manifest: Mapping[str, Any], config: Mapping[str, Any], settings: Mapping[str, Any]) -> Manifest:
    """The image with the layers of another one and settings of its own: nothing else that the engine noted about it."""
    kept = {key: copy.deepcopy(config[key]) for key in ("architecture", "os", "variant", "rootfs") if key in config}
    kept |= {"config": dict(settings), "created": _CREATED}
    body = _encode(kept)
    own = {"mediaType": manifest["config"]["mediaType"], "size": len(body), "digest": sha256(body)}
    whole = {"schemaVersion": 2, "mediaType": str(manifest["mediaType"]), "config": own, "layers": manifest["layers"]}
    return Manifest(whole["mediaType"], _encode(whole), body)


def _encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

"""What an app's image looks like in the registry: the stack's layers and, on top of them, the slug as one more.

Formats: https://distribution.github.io/distribution/spec/manifest-v2-2/ and https://github.com/opencontainers/image-spec.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
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


def with_slug(manifest: Mapping[str, Any], config: Mapping[str, Any], slug: Layer) -> Manifest:
    """The image that lays ``slug`` on another one, given that one's manifest and config.

    Depends on its arguments alone: the same slug on the same stack is the same image.
    """
    media_type = str(manifest["mediaType"])
    # What the engine notes about the build of the stack image (its container, its host) is no business of the app's.
    kept = {key: copy.deepcopy(config[key]) for key in ("architecture", "os", "config", "rootfs") if key in config}
    kept["created"] = _CREATED
    kept["rootfs"]["diff_ids"] = [*kept["rootfs"]["diff_ids"], slug.diff_id]
    kept["history"] = [*config.get("history", []), {"created": _CREATED, "created_by": "slug"}]
    body = _encode(kept)
    layer = _OCI_LAYER if media_type == OCI_MANIFEST else _LAYER
    return Manifest(
        media_type,
        _encode(
            {
                "schemaVersion": 2,
                "mediaType": media_type,
                "config": {"mediaType": manifest["config"]["mediaType"], "size": len(body), "digest": sha256(body)},
                "layers": [*manifest["layers"], {"mediaType": layer, "size": slug.size, "digest": slug.digest}],
            }
        ),
        body,
    )


def slug_of(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> Layer:
    """The slug of an image that ``with_slug`` has made: its top layer."""
    top = manifest["layers"][-1]
    return Layer(str(top["digest"]), int(top["size"]), str(config["rootfs"]["diff_ids"][-1]))


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

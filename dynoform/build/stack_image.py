"""The stack's run image in the registry: slugs are laid on it there, so it has to be there first."""

from dataclasses import dataclass
from typing import Any

from dynoform.build.container import Engine
from dynoform.build.registry import Registry
from dynoform.errors import UnavailableError

REPOSITORY = "stacks/stack-13"
_TAG_DIGITS = 12


@dataclass(frozen=True)
class StackImage:
    """Manifest and config of a run image, as the registry has them."""

    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def layers(self) -> list[str]:
        """Digests of its layers, lowest first."""
        return [layer["digest"] for layer in self.manifest["layers"]]


def ensure(engine: Engine, registry: Registry, image: str) -> StackImage:
    """The run image named ``image`` on this host, pushed to the registry if it is not there yet.

    Its tag there is its own id, so another image of the same name is another tag. Raises ``UnavailableError``.
    """
    tag = engine.image_id(image).removeprefix("sha256:")[:_TAG_DIGITS]
    manifest = registry.manifest(REPOSITORY, tag)
    if manifest is None:
        engine.push(image, f"{registry.address}/{REPOSITORY}", tag)
        manifest = registry.manifest(REPOSITORY, tag)
    if manifest is None:
        raise UnavailableError(f"image {image}", "was pushed, but the registry does not have it", "push again")
    return StackImage(manifest, registry.config(REPOSITORY, manifest["config"]["digest"]))

"""The stack's run image in the registry: slugs are laid on it there, so it has to be there first."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynoform.build.container import Engine
from dynoform.errors import DynoformError, UnavailableError

if TYPE_CHECKING:
    from dynoform.build.registry import Registry

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


class StackImages:
    """Brings the run image to the registry once, whoever asks first; the others wait for it."""

    def __init__(self, engine: Engine, registry: "Registry") -> None:
        """For the run image that the engine's configuration names."""
        self._engine = engine
        self._registry = registry
        self._lock = threading.Lock()
        self._found: StackImage | None = None

    def get(self) -> StackImage:
        """The run image, in the registry when this returns. Raises ``UnavailableError``, ``ConfigurationError``."""
        with self._lock:
            if self._found is None:
                self._found = _ensure(self._engine, self._registry, self._engine.configuration.run_image)
            return self._found

    def prepare(self) -> threading.Thread:
        """Begin to bring it there, while buildpacks are at work or nothing is."""
        thread = threading.Thread(target=self._try, name="stack-image", daemon=True)
        thread.start()
        return thread

    def _try(self) -> None:
        with suppress(DynoformError):  # the build that needs it tries again, and says what is wrong
            self.get()


def _ensure(engine: Engine, registry: "Registry", image: str) -> StackImage:
    # Its tag there is its own id, so another image of the same name is another tag.
    tag = engine.image_id(image).removeprefix("sha256:")[:_TAG_DIGITS]
    manifest = registry.manifest(REPOSITORY, tag)
    if manifest is None:
        engine.push(image, f"{registry.address}/{REPOSITORY}", tag)
        manifest = registry.manifest(REPOSITORY, tag)
    if manifest is None:
        raise UnavailableError(f"image {image}", "was pushed, but the registry does not have it", "push again")
    return StackImage(manifest, registry.config(REPOSITORY, manifest["config"]["digest"]))

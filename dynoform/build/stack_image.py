"""The stack's run image in the registry: slugs are laid on it there, so it has to be there first."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynoform.build.container import Engine
from dynoform.domain import sbom
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import stack_images
from dynoform.store.session import Store

if TYPE_CHECKING:
    from dynoform.build.registry import Registry

REPOSITORY = "stacks/stack-13"
_DIGITS = 12


@dataclass(frozen=True)
class StackImage:
    """Manifest and config of a run image, as the registry has them; ``version`` says what is in it."""

    manifest: dict[str, Any]
    config: dict[str, Any]
    version: str = ""

    @property
    def layers(self) -> list[str]:
        """Digests of its layers, lowest first."""
        return [layer["digest"] for layer in self.manifest["layers"]]


class StackImages:
    """Brings the run image to the registry once, whoever asks first; the others wait for it."""

    def __init__(self, engine: Engine, registry: "Registry", store: Store) -> None:
        """For the run image that the engine's configuration names; the store is told what is in it."""
        self._engine = engine
        self._registry = registry
        self._store = store
        self._lock = threading.Lock()
        self._found: StackImage | None = None

    def get(self) -> StackImage:
        """The run image, in the registry when this returns. Raises ``UnavailableError``, ``ConfigurationError``."""
        with self._lock:
            if self._found is None:
                name = self._engine.configuration.run_image
                self._found = _ensure(self._engine, self._registry, name, self._declare(name, stack_images.RUN))
            return self._found

    def prepare(self) -> threading.Thread:
        """Begin to bring it there, while buildpacks are at work or nothing is, and have older slugs laid on it."""
        thread = threading.Thread(target=self._try, name="stack-image", daemon=True)
        thread.start()
        return thread

    def _try(self) -> None:
        with suppress(DynoformError):  # the build that needs it tries again, and says what is wrong
            stack = self.get()
            self._declare(self._engine.configuration.build_image, stack_images.BUILD)
            stack_images.queue(self._store, stack.version)

    def _declare(self, name: str, kind: str) -> str:
        """Tell the store that this image is in use; returns its version."""
        image_id = self._engine.image_id(name)
        with self._store.transaction() as session:
            known = stack_images.known(session, image_id)
        if known is not None:
            version, text = known.version, known.sbom
        else:
            text = self._engine.image_file(name, sbom.FILE, sbom.MOST_BYTES)
            # One without a bill is like no other.
            version = sbom.version(text) if text else tag_of(image_id)
        with self._store.transaction() as session:
            stack_images.declare(session, image_id, kind, name, version, text)
        return version


def tag_of(image_id: str) -> str:
    """The tag in the registry of an image with this id."""
    return image_id.removeprefix("sha256:")[:_DIGITS]


def _ensure(engine: Engine, registry: "Registry", image: str, version: str) -> StackImage:
    # Its tag there is its own id, so another image of the same name is another tag.
    tag = tag_of(engine.image_id(image))
    manifest = registry.manifest(REPOSITORY, tag)
    if manifest is None:
        engine.push(image, f"{registry.address}/{REPOSITORY}", tag)
        manifest = registry.manifest(REPOSITORY, tag)
    if manifest is None:
        raise UnavailableError(f"image {image}", "was pushed, but the registry does not have it", "push again")
    return StackImage(manifest, registry.config(REPOSITORY, manifest["config"]["digest"]), version)

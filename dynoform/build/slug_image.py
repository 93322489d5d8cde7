"""An app's image on its way to the registry: the stack's layers, the slug, and the manifest of both."""

from collections.abc import Callable, Iterable

from dynoform.build import stack_image
from dynoform.build.job import Tools
from dynoform.build.registry import LayerGoneError
from dynoform.domain import images
from dynoform.store import jobs, pushed_images

Make = Callable[[], tuple[Iterable[bytes], Callable[[], images.Layer]]]
"""As ``Registry.upload`` takes it."""


def mount(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage) -> None:
    """Have the stack's layers in the repository of the job's app. Raises ``UnavailableError``."""
    for digest in stack.layers:
        tools.registry.mount(images.app_repository(claim.app_id), digest, stack_image.REPOSITORY)


def push(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, make: Make) -> tuple[images.Layer, str]:
    """Lay a slug on the mounted layers of the stack, for the job's app; returns its layer and the image's digest.

    Raises ``UnavailableError`` when the registry does not take it, and what ``make`` raises.
    """
    try:
        return _push(tools, claim, stack, make)
    except LayerGoneError:
        # The registry collected its garbage before the manifest came: all of it once more.
        mount(tools, claim, stack)
        return _push(tools, claim, stack, make)


def lay(
    tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, layer: images.Layer, source: str, tag: str
) -> str:
    """Lay a slug that is in the registry, in the repository ``source``, on the mounted layers of the stack.

    Returns the image's digest; it gets the ``tag`` too. Raises ``UnavailableError`` when the registry does not take it.
    """
    repository = images.app_repository(claim.app_id)
    try:
        tools.registry.mount(repository, layer.digest, source)
        return _publish(tools, claim, stack, layer, tag)
    except LayerGoneError:
        mount(tools, claim, stack)
        tools.registry.mount(repository, layer.digest, source)
        return _publish(tools, claim, stack, layer, tag)


def _push(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, make: Make) -> tuple[images.Layer, str]:
    layer = tools.registry.upload(images.app_repository(claim.app_id), make)
    return layer, _publish(tools, claim, stack, layer, str(claim.id))


def _publish(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, layer: images.Layer, tag: str) -> str:
    repository = images.app_repository(claim.app_id)
    manifest = images.with_slug(stack.manifest, stack.config, layer)
    with tools.store.transaction() as session:
        pushed_images.note(session, repository, manifest.digest)
    return tools.registry.push(repository, tag, manifest)

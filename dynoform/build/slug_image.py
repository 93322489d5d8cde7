"""An app's image on its way to the registry: the stack's layers, the slug, and the manifest of both."""

from collections.abc import Callable, Sequence

from dynoform.build import stack_image
from dynoform.build.job import Tools
from dynoform.build.slug import LayerFile
from dynoform.domain import images
from dynoform.store import jobs, pushed_images


def mount(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage) -> None:
    """Have the stack's layers in the repository of the job's app. Raises ``UnavailableError``."""
    for digest in stack.layers:
        tools.registry.mount(images.app_repository(claim.app_id), digest, stack_image.REPOSITORY)


def push(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, slug: Sequence[LayerFile]) -> str:
    """Lay a slug on the mounted layers of the stack, for the job's app; returns the image's digest.

    Layers that the app's repository has are not moved. Raises ``UnavailableError`` when the registry does not take it.
    """
    return _twice(tools, claim, stack, lambda: _push(tools, claim, stack, slug))


def lay(
    tools: Tools,
    claim: jobs.Claim,
    stack: stack_image.StackImage,
    slug: Sequence[images.Layer],
    source: str,
    tag: str,
) -> str:
    """Lay a slug that is in the registry, in the repository ``source``, on the mounted layers of the stack.

    Returns the image's digest; it gets the ``tag`` too. Raises ``UnavailableError`` when the registry does not take it.
    """
    return _twice(tools, claim, stack, lambda: _lay(tools, claim, stack, slug, source, tag))


def _twice(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, put: Callable[[], str]) -> str:
    """What ``put`` returns, which may fail once as the registry collects its garbage before the manifest comes."""
    # What it needs takes time to import: a build's container comes first.
    from dynoform.build.registry import LayerGoneError

    try:
        return put()
    except LayerGoneError:
        mount(tools, claim, stack)
        return put()


def _push(tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, slug: Sequence[LayerFile]) -> str:
    for each in slug:
        tools.registry.upload(images.app_repository(claim.app_id), each.layer.digest, each.read)
    return _publish(tools, claim, stack, [each.layer for each in slug], str(claim.id))


def _lay(
    tools: Tools,
    claim: jobs.Claim,
    stack: stack_image.StackImage,
    slug: Sequence[images.Layer],
    source: str,
    tag: str,
) -> str:
    for layer in slug:
        tools.registry.mount(images.app_repository(claim.app_id), layer.digest, source)
    return _publish(tools, claim, stack, slug, tag)


def _publish(
    tools: Tools, claim: jobs.Claim, stack: stack_image.StackImage, slug: Sequence[images.Layer], tag: str
) -> str:
    repository = images.app_repository(claim.app_id)
    manifest = images.with_slug(stack.manifest, stack.config, slug)
    with tools.store.transaction() as session:
        pushed_images.note(session, repository, manifest.digest)
    return tools.registry.push(repository, tag, manifest)

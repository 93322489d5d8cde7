"""Releases of pushed images: what ``heroku container:release`` and ``container:rm`` ask of the formation."""

import uuid
from collections.abc import Mapping

from sqlalchemy.orm import Session

from dynoform.api.apps import find
from dynoform.api.services import Services
from dynoform.domain import container_images, formations, stacks
from dynoform.domain.container_images import Image
from dynoform.domain.permissions import Permission
from dynoform.store import pushed_images
from dynoform.store.releases import create_release, slug_to_come
from dynoform.store.tables import Account, App, Release, Slug

Images = Mapping[str, Image | None]
"""Process type → the image that it shall run, None for a type that goes."""


def read(services: Services, caller: Account, reference: str, wanted: Mapping[str, str | None]) -> Images:
    """The images with these ids, as the registry has them; without a lock on the app, since that may take a while.

    Raises ``InvalidInputError`` for one that was not pushed or cannot run, ``UnavailableError``.
    """
    if not wanted:
        return {}
    with services.store.transaction() as session:
        app_id = find(session, caller, reference, Permission.DEPLOY).id
    return {name: _image(services, app_id, name, identifier) for name, identifier in wanted.items()}


def make(session: Session, services: Services, app: App, account_id: uuid.UUID, images: Images) -> Release | None:
    """A release in which these process types run these images and the others what they ran; None if nothing changes.

    What they ran, or will, when the release command of an earlier deploy has succeeded.
    The app, which has to be locked, is one of the stack ``container`` from now on.
    """
    before = slug_to_come(session, app.id)
    present = before if before and before.stack == stacks.CONTAINER else None
    slug = _slug(services, app, present, images)
    if present is not None and slug.images == present.images:
        return None
    app.build_stack = stacks.CONTAINER
    session.add(slug)
    return create_release(session, app, description=_description(images), account_id=account_id, slug=slug)


def _image(services: Services, app_id: uuid.UUID, process_type: str, identifier: str | None) -> Image | None:
    if not container_images.is_type(process_type):
        raise formations.unknown_type(process_type[:60])
    if identifier is None:
        return None
    container_images.check_identifier(identifier)
    image = services.registry.image(app_id, process_type, identifier)
    repository = container_images.repository(app_id, process_type)
    with services.store.transaction() as session:
        known = pushed_images.use(session, repository, image.digest)
        pushed_images.note(session, repository, image.digest)
    # From now on it stays for long enough. Was it removed a moment ago, then it is not found any more.
    return image if known else services.registry.image(app_id, process_type, identifier)


def _slug(services: Services, app: App, present: Slug | None, images: Images) -> Slug:
    commands = dict(present.process_types) if present else {}
    places = dict(present.images) if present else {}
    size = present.size if present else 0
    for name, image in images.items():
        if image is not None:
            repository = container_images.repository(app.id, name)
            places[name] = f"{services.registry.address}/{repository}@{image.digest}"
            commands[name], size = image.command, image.size
        elif name in places:
            del places[name], commands[name]
        else:
            raise formations.unknown_type(name)
    # An app whose last type was taken away runs nothing; what it ran stays written down.
    first = next(iter(places.values()), present.image if present else "")
    return Slug(
        id=uuid.uuid4(),
        app_id=app.id,
        image=first,
        images=places,
        size=size,
        checksum=f"SHA256:{first.rpartition(':')[2]}",
        stack=stacks.CONTAINER,
        process_types=commands,
    )


def _description(images: Images) -> str:
    deployed = {name: image.identifier for name, image in images.items() if image is not None}
    return container_images.deployed(deployed) if deployed else container_images.removed(list(images))

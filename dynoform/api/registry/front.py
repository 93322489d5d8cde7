"""Docker's registry API for apps' images: who may push and pull what; the platform's registry does the rest.

``docker login registry.<host>`` takes any user with an API key as password; an image is ``registry.<host>/app/type``.
https://devcenter.heroku.com/articles/container-registry-and-runtime
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import APIRouter, Request
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from dynoform.api import room
from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError
from dynoform.api.registry.errors import VERSION, RegistryError
from dynoform.api.registry.passage import Passage
from dynoform.api.registry.upstream import MAXIMUM_DOCUMENT
from dynoform.api.services import Services, Use
from dynoform.domain import container_images, images, registry_paths, stacks
from dynoform.domain.permissions import Permission
from dynoform.domain.registry_paths import Target
from dynoform.errors import NotFoundError
from dynoform.store import pushed_images
from dynoform.store.tables import Account, Slug

links = APIRouter(include_in_schema=False)
PREFIX = "/v2/"
_CATALOG = "_catalog"
_CHECKED_BYTES = 16 * 1024 * 1024
"""How much of a layer comes between two looks at the disk."""
_METHODS = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]


@links.api_route(PREFIX + "{path:path}", methods=_METHODS, response_model=None)
async def registry(path: str, request: Request, services: Use, caller: Caller) -> Response:
    """One request of Docker's."""
    if not path:
        return JSONResponse({}, headers=VERSION)
    if path == _CATALOG:
        raise RegistryError(403, "DENIED", "Repositories are not listed: an app's are named after its process types.")
    target = registry_paths.parse(path)
    if target is None:
        raise RegistryError(404, "NAME_UNKNOWN", "Images are pushed as <app>/<process type>, in lower-case letters.")
    if request.method not in registry_paths.METHODS[target.kind]:
        raise RegistryError(405, "UNSUPPORTED", f"{request.method} is not possible here.")
    needs = target.needs(request.method)
    app_id = await run_in_threadpool(_app_id, services, caller, target.app, needs)
    await _check(services, request, target, app_id)
    body: bytes | AsyncIterator[bytes] | None = None
    if target.fills(request.method):
        await run_in_threadpool(_check_room, services)
        body = _while_there_is_room(services, request)
    inner = container_images.repository(app_id, target.process_type)
    query = [(name, value) for name, value in request.query_params.multi_items() if name in _known(target)]
    if target.kind == registry_paths.UPLOADS:
        query += await run_in_threadpool(_mount, services, caller, request)
    passage = Passage(services.registry, target.name, inner)
    if target.kind == registry_paths.MANIFESTS and request.method == "PUT":
        body = await _manifest(request)
        # Before the registry has it: what is written down too often is looked for and forgotten.
        await run_in_threadpool(_note, services, inner, images.sha256(body))
    return await passage.take(request, target.rest, query, body, named=target.kind == registry_paths.TAGS)


async def _manifest(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAXIMUM_DOCUMENT:
            raise RegistryError(413, "SIZE_INVALID", f"A manifest has at most {MAXIMUM_DOCUMENT} bytes.")
    return body


def _check_room(services: Services) -> None:
    """The registry keeps its layers on the disk of the host that the sources are on."""
    room.check(services.configuration.sources, "layer", "push")


async def _while_there_is_room(services: Services, request: Request) -> AsyncIterator[bytes]:
    """A layer's bytes. Raises ``UnavailableError`` when the disk has no room for more: layers have no limit."""
    unchecked = 0
    async for piece in request.stream():
        unchecked += len(piece)
        if unchecked > _CHECKED_BYTES:
            unchecked = 0
            await run_in_threadpool(_check_room, services)
        yield piece


def _note(services: Services, repository: str, digest: str) -> None:
    with services.store.transaction() as session:
        pushed_images.note(session, repository, digest)


async def _check(services: Services, request: Request, target: Target, app_id: uuid.UUID) -> None:
    if target.kind != registry_paths.MANIFESTS:
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if request.method == "PUT" and media_type not in container_images.MANIFESTS:
        message = (
            "Only an image for one platform can be pushed, without attestations: build it with "
            "--platform linux/amd64 --provenance false --sbom false."
        )
        raise RegistryError(400, "MANIFEST_INVALID", message)
    if request.method == "DELETE" and ":" not in target.reference:
        raise RegistryError(405, "UNSUPPORTED", "An image is deleted by its digest, not by a tag.")
    if request.method == "DELETE" and await run_in_threadpool(_is_released, services, app_id, target.reference):
        raise RegistryError(403, "DENIED", "A release of the app runs this image.")


def _known(target: Target) -> tuple[str, ...]:
    return registry_paths.PARAMETERS[target.kind]


def _app_id(services: Services, caller: Account, reference: str, needs: Permission) -> uuid.UUID:
    with services.store.transaction() as session:
        return find(session, caller, reference, needs).id


def _is_released(services: Services, app_id: uuid.UUID, digest: str) -> bool:
    query = select(Slug.images).where(Slug.app_id == app_id, Slug.stack == stacks.CONTAINER)
    with services.store.transaction() as session:
        return any(image.endswith(f"@{digest}") for images in session.scalars(query) for image in images.values())


def _mount(services: Services, caller: Account, request: Request) -> list[tuple[str, str]]:
    """Take a layer over from another repository, if the caller may read that one; else it is uploaded, as any other."""
    digest, source = request.query_params.get("mount"), request.query_params.get("from", "")
    repository = registry_paths.parse_repository(source)
    if digest is None or repository is None:
        return []
    app, process_type = repository
    with suppress(NotFoundError, ApiError):
        app_id = _app_id(services, caller, app, Permission.VIEW)
        return [("mount", digest), ("from", container_images.repository(app_id, process_type))]
    return []

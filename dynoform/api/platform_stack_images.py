"""Dynoform's own, for the operator alone: the stack's images, what is in them, and what is not on the newest yet."""

import json
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller, check_operator
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.services import Use
from dynoform.domain import sbom
from dynoform.store import stack_images
from dynoform.store.tables import Account, StackImage

router = APIRouter(tags=["dynoform stack images"])
_FIELDS = ("id", "kind")
_KINDS = (stack_images.RUN, stack_images.BUILD)


class UpdateObject(TypedDict):
    """A package with a newer version in Debian's archive."""

    package: str
    source: str
    version: str
    candidate: str
    suite: str
    security: bool
    """Whether that version, or one between, came by Debian's security archive."""
    cves: list[str] | None
    """What it mends; null where Debian's tracker cannot be asked."""


class WaitingObject(TypedDict):
    """What is not on the image yet."""

    apps: int
    slugs: int
    dynos: int
    names: list[str]
    """Some of the apps."""


class StackImageObject(TypedDict):
    """An image in use."""

    id: str
    kind: str
    """run, which slugs are laid on, or build."""
    stack: str
    name: str
    version: str
    """What tells its contents from another image's: the beginning of the SHA-256 of its bill of materials."""
    packages: int | None
    apps: int
    """Apps whose current release is for the stack."""
    waiting: WaitingObject | None
    """Null for build images."""
    updates: list[UpdateObject] | None
    """Null while the package mirror has not been asked."""
    problem: str | None
    """Why it could not be asked the last time."""
    tracker: str | None
    """Why no CVEs are named."""
    asked_at: str | None
    created_at: str


class BillObject(TypedDict):
    """A CycloneDX document (https://cyclonedx.org/docs/1.6/json/), as far as it is told here."""

    bomFormat: str
    specVersion: str
    version: int
    metadata: dict[str, Any]
    components: list[dict[str, Any]]


@router.get("/dynoform/stack-images", response_model=list[StackImageObject])
def stack_image_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The images in use, that for running first."""
    _check(caller)
    with services.store.transaction() as session:
        found = [image for kind in _KINDS if (image := stack_images.newest(session, kind))]
        return ranges.cut([_show(session, image) for image in found], wanted, _FIELDS)


@router.get("/dynoform/stack-images/{kind}/sbom", response_model=BillObject)
def stack_image_sbom(kind: str, services: Use, caller: Caller) -> JSONResponse:
    """The bill of materials of the image in use, ``run`` or ``build``."""
    _check(caller)
    with services.store.transaction() as session:
        image = stack_images.newest(session, kind)
    if image is None or image.sbom is None:
        raise not_found("bill of materials", "stack_image")
    return JSONResponse(json.loads(image.sbom))


def _check(caller: Account) -> None:
    check_operator(caller, "You do not have access to the platform's stack images. Only its operator has.")


def _show(session: Session, image: StackImage) -> StackImageObject:
    runs = image.kind == stack_images.RUN
    left = stack_images.waiting(session, image.version) if runs else None
    updates = image.updates
    return {
        "id": image.id,
        "kind": image.kind,
        "stack": image.stack,
        "name": image.name,
        "version": image.version,
        "packages": len(sbom.packages(sbom.read(image.sbom))) if image.sbom else None,
        "apps": stack_images.apps_on(session, image.stack),
        "waiting": _waiting(left) if left else None,
        "updates": None if updates is None else [show_update(each) for each in updates],
        "problem": image.failure,
        "tracker": image.tracker,
        "asked_at": shown(image.asked_at) if image.asked_at else None,
        "created_at": shown(image.created_at),
    }


def _waiting(left: stack_images.Waiting) -> WaitingObject:
    return {"apps": left.apps, "slugs": left.slugs, "dynos": left.dynos, "names": list(left.names)}


def show_update(stored: dict[str, Any]) -> UpdateObject:
    """An update as it is in the store."""
    return {
        "package": stored["package"],
        "source": stored["source"],
        "version": stored["version"],
        "candidate": stored["candidate"],
        "suite": stored["suite"],
        "security": stored["security"],
        "cves": stored.get("cves"),
    }

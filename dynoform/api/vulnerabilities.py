"""Dynoform's own: which packages under an app have a security update, from its stack image's bill of materials."""

from fastapi import APIRouter
from sqlalchemy import select
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.objects import NamedObject, fixed, shown
from dynoform.api.platform_stack_images import UpdateObject, show_update
from dynoform.api.services import Use
from dynoform.domain import stacks
from dynoform.store import stack_images
from dynoform.store.releases import current_release
from dynoform.store.tables import Slug, StackImage

router = APIRouter(tags=["dynoform vulnerabilities"])
NOT_DEPLOYED = "The app has no release with a slug yet."
OWN_IMAGE = "The app runs images of its owner's own. What is in them, the platform does not know."
NOT_ASKED = "The package mirror has not been asked yet which packages have updates."
NOT_KNOWN = "What is in the stack image under the app is not known. Its slug is about to be laid on the newest one."
NONE = "No package has a security update that the stack image lacks."
SOME = "The operator installs them for all apps with bin/dynoform patch. Nothing has to be deployed."


class ReportObject(TypedDict):
    """What is known of the packages under an app's slug. What the app brought itself is not looked at."""

    app: NamedObject
    stack: NamedObject
    stack_image: str | None
    """The version of the image that the slug of the current release lies on."""
    packages: list[UpdateObject]
    """Those with a fixed version in Debian's security archive."""
    message: str
    """What it means, and what to do."""
    tracker: str | None
    """Why no CVEs are named."""
    asked_at: str | None


@router.get("/apps/{app}/vulnerabilities", response_model=ReportObject)
def vulnerability_report(app: str, services: Use, caller: Caller) -> JSONResponse:
    """Packages under the app's current release with a security update in Debian's archive."""
    with services.store.transaction() as session:
        found = find(session, caller, app)
        release = current_release(session, found.id)
        slug = release.slug if release else None
        query = select(StackImage).where(
            StackImage.kind == stack_images.RUN, StackImage.version == (slug and slug.base)
        )
        image = session.scalars(query.order_by(StackImage.declared_at.desc()).limit(1)).one_or_none()
        packages = [show_update(each) for each in (image.updates or ()) if each["security"]] if image else []
        shown_report: ReportObject = {
            "app": {"id": str(found.id), "name": found.name},
            "stack": fixed(slug.stack if slug else found.stack),
            "stack_image": slug.base if slug else None,
            "packages": packages,
            "message": _message(slug, image, bool(packages)),
            "tracker": image.tracker if image else None,
            "asked_at": shown(image.asked_at) if image and image.asked_at else None,
        }
    return JSONResponse(shown_report)


def _message(slug: Slug | None, image: StackImage | None, any_found: bool) -> str:
    if slug is None:
        return NOT_DEPLOYED
    if slug.stack == stacks.CONTAINER:
        return OWN_IMAGE
    if image is None or image.sbom is None:
        return NOT_KNOWN
    if image.updates is None:
        return f"{NOT_ASKED} {image.failure}" if image.failure else NOT_ASKED
    return SOME if any_found else NONE

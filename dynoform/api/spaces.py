"""Spaces: private runtimes, each with hosts and apps of its own. The operator makes them, by saying so of hosts."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.catalogue import SINCE
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, fixed
from dynoform.api.services import Services, Use
from dynoform.store import hosts

router = APIRouter(tags=["spaces"])
_FIELDS = ("name", "id")


class SpaceObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#space."""

    cidr: str
    created_at: str
    data_cidr: str
    generation: NamedObject
    id: str
    name: str
    organization: NamedObject
    region: NamedObject
    shield: bool
    state: str
    team: NamedObject
    updated_at: str


@router.get("/spaces", response_model=list[SpaceObject])
def space_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The spaces: one for each private runtime that hosts are of."""
    return ranges.cut(_all(services), wanted, _FIELDS)


@router.get("/spaces/{space}", response_model=SpaceObject)
def space_info(space: str, services: Use, caller: Caller) -> JSONResponse:
    """One space, by id or name."""
    for found in _all(services):
        if space in (found["id"], found["name"]):
            return JSONResponse(found)
    raise not_found("space")


def _all(services: Services) -> list[Any]:
    with services.store.transaction() as session:
        return [_show(services.configuration.stack, name) for name in hosts.private_runtimes(session)]


def _show(stack: str, name: str) -> SpaceObject:
    # Heroku's clients print a space's team; here it belongs to whoever runs the stack.
    return {
        "cidr": "",
        "created_at": SINCE,
        "data_cidr": "",
        "generation": fixed("cedar"),
        **fixed(name),
        "organization": fixed(stack),
        "region": fixed(stack),
        "shield": False,
        "state": "allocated",
        "team": fixed(stack),
        "updated_at": SINCE,
    }

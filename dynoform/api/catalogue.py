"""What the platform offers: stacks, regions, dyno sizes. Data, the same for every caller."""

from collections.abc import Collection
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller
from dynoform.api.errors import not_found
from dynoform.api.objects import NamedObject, fixed
from dynoform.api.services import Use
from dynoform.domain import dyno_sizes, stacks
from dynoform.errors import InvalidInputError

router = APIRouter(tags=["catalogue"])
_FIELDS = ("id", "name")
SINCE = "2026-11-20T00:00:00Z"


class StackObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#stack."""

    created_at: str
    default: bool
    id: str
    name: str
    state: str
    updated_at: str


class ProviderObject(TypedDict):
    """Who runs a region's machines."""

    name: str
    region: str


class RegionObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#region."""

    country: str
    created_at: str
    description: str
    id: str
    locale: str
    name: str
    private_capable: bool
    provider: ProviderObject
    updated_at: str


class DynoSizeObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#dyno-size."""

    architecture: str
    compute: int
    cost: dict[str, int | str]
    dedicated: bool
    dyno_units: int
    generation: NamedObject
    id: str
    memory: float
    name: str
    precise_dyno_units: float
    private_space_only: bool


@router.get("/stacks", response_model=list[StackObject])
def stack_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The stacks; old ones are ``deprecated``."""
    old = services.configuration.old_stacks
    return ranges.cut([_stack(name, old) for name in stacks.ALL], wanted, _FIELDS)


@router.get("/stacks/{stack}", response_model=StackObject)
def stack_info(stack: str, services: Use, caller: Caller) -> JSONResponse:
    """One stack, by id or name."""
    old = services.configuration.old_stacks
    return JSONResponse(_pick([_stack(name, old) for name in stacks.ALL], stack, "stack"))


@router.get("/regions", response_model=list[RegionObject])
def region_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The regions: this stack is the only one."""
    return ranges.cut([_region(services.configuration.stack)], wanted, _FIELDS)


@router.get("/regions/{region}", response_model=RegionObject)
def region_info(region: str, services: Use, caller: Caller) -> JSONResponse:
    """One region, by id or name."""
    return JSONResponse(_pick([_region(services.configuration.stack)], region, "region"))


@router.get("/dyno-sizes", response_model=list[DynoSizeObject])
def dyno_size_list(caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """The dyno sizes."""
    return ranges.cut([_size(size) for size in dyno_sizes.SIZES], wanted, _FIELDS)


@router.get("/dyno-sizes/{size}", response_model=DynoSizeObject)
def dyno_size_info(size: str, caller: Caller) -> JSONResponse:
    """One dyno size, by id or name."""
    try:
        return JSONResponse(_size(dyno_sizes.find(size)))
    except InvalidInputError:
        return JSONResponse(_pick([_size(known) for known in dyno_sizes.SIZES], size, "dyno size"))


def _pick(offered: list[Any], reference: str, noun: str) -> Any:
    for item in offered:
        if reference in (item["id"], item["name"]):
            return item
    raise not_found(noun, noun.replace(" ", "_"))


def _stack(name: str, old: Collection[str]) -> StackObject:
    default, state = name == stacks.DEFAULT, "deprecated" if name in old else "public"
    return {**fixed(name), "created_at": SINCE, "default": default, "state": state, "updated_at": SINCE}


def _region(name: str) -> RegionObject:
    return {
        **fixed(name),
        "country": "your own",
        "created_at": SINCE,
        "description": f"Dynoform stack {name}",
        "locale": "your own hosts",
        "private_capable": False,
        "provider": {"name": "dynoform", "region": name},
        "updated_at": SINCE,
    }


def _size(size: dyno_sizes.DynoSize) -> DynoSizeObject:
    return {
        **fixed(size.name),
        "architecture": "amd64",
        "compute": size.compute,
        "cost": {"cents": size.price_cents, "unit": "month"},
        "dedicated": size.dedicated,
        "dyno_units": max(1, round(size.dyno_units)),
        "generation": fixed("cedar"),
        "memory": size.memory_mb / 1024,
        "precise_dyno_units": size.dyno_units,
        "private_space_only": False,
    }

"""Running one-off dynos: ``heroku run``, attached, detached, and inside a dyno that is there."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from dynoform.api import dynos
from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.dynos import DynoObject
from dynoform.api.services import Services, Use
from dynoform.domain import dyno_lines, dyno_sizes, heroku_exec, one_off, process_types, rendezvous
from dynoform.domain.permissions import Permission
from dynoform.store import dyno_metadata, hosts, one_off_dynos
from dynoform.store.one_off_dynos import Wanted
from dynoform.store.releases import current_release

router = APIRouter(tags=["dynos"])
_Environment = Annotated[dict[str, str | int], Field(max_length=one_off.MAXIMUM_VARIABLES)]


class InsideRun(BaseModel):
    """Body of a run inside a dyno."""

    model_config = ConfigDict(strict=True)
    command: str
    env: _Environment | None = None
    force_no_tty: bool | None = None


class NewDyno(InsideRun):
    """Body of create. ``time_to_live`` is in seconds."""

    attach: bool | None = None
    size: Annotated[str | None, Field(max_length=60)] = None
    time_to_live: Annotated[int | None, Field(ge=1, le=one_off.LONGEST_SECONDS)] = None
    type: str | None = None


@router.post("/apps/{app}/dynos", status_code=201, response_model=DynoObject)
def dyno_create(app: str, body: NewDyno, services: Use, caller: Caller) -> JSONResponse:
    """Run a command in a new one-off dyno; with ``attach``, whoever opens ``attach_url`` first gets its terminal."""
    wanted = Wanted(
        command=one_off.check_command(body.command),
        type=process_types.check_name(body.type) if body.type else one_off.RUN,
        size=dyno_sizes.find(body.size or dyno_sizes.DEFAULT).name,
        secret=rendezvous.new_secret() if body.attach else None,
        tty=bool(body.attach) and not body.force_no_tty,
        seconds=body.time_to_live or one_off.LONGEST_SECONDS,
        variables=one_off.check_environment(body.env or {}),
    )
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        release = current_release(session, found.id)
        if release is None or release.slug is None:
            raise one_off.no_code(found.name)
        dyno_sizes.check_fits(wanted.size, hosts.largest_memory(session))
        told = dyno_metadata.of(session, services.configuration.domain, found, release, wanted.id)
        wanted = replace(wanted, variables={**told, **wanted.variables})
        dyno = one_off_dynos.create(session, services.vault, found, release, wanted)
    services.say(found, dyno_lines.run_by_user(wanted.command, caller.email))
    shown = dynos.show(found, dyno, release.version, attach_url=_attach_url(services, wanted.secret))
    return JSONResponse(shown, 201)


@router.post("/apps/{app}/dynos/{dyno}", status_code=201, response_model=DynoObject)
def dyno_run_inside(app: str, dyno: str, body: InsideRun, services: Use, caller: Caller) -> JSONResponse:
    """Run a command in the container of a dyno that is up, attached."""
    wanted = Wanted(
        command=one_off.check_command(body.command),
        secret=rendezvous.new_secret(),
        tty=not body.force_no_tty,
        variables=one_off.check_environment(body.env or {}),
    )
    with services.store.transaction() as session:
        found = find(session, caller, app, Permission.OPERATE, lock=True)
        place, version = dynos.find_dyno(session, found, dyno)
        heroku_exec.check_up(dyno[:60], place.state)
        row = one_off_dynos.create_inside(session, services.vault, place, wanted)
    services.say(found, dyno_lines.run_by_user(wanted.command, caller.email))
    shown = dynos.show(found, row, version, attach_url=_attach_url(services, wanted.secret))
    return JSONResponse(shown, 201)


def _attach_url(services: Services, secret: str | None) -> str | None:
    return f"{services.configuration.rendezvous_url}/{secret}" if secret else None

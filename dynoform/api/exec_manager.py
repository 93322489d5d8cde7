"""The exec manager: ``heroku ps:exec`` and its kin register a public key for a dyno here, and are told where to go.

Heroku's is a service of its own; the CLI finds this one by ``HEROKU_EXEC_URL``. It sends Basic credentials: the app as
user name, its token as password.
"""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import dynos
from dynoform.api.apps import find
from dynoform.api.authentication import Caller, credentials
from dynoform.api.errors import ApiError, forbidden
from dynoform.api.services import Services, Use
from dynoform.domain import dyno_lines, dyno_names, heroku_exec, ssh_keys
from dynoform.domain.permissions import Permission
from dynoform.store import exec_keys, features
from dynoform.store.tables import Account, App

links = APIRouter(include_in_schema=False)
HOST_KEY = "exec_host_key"
"""Name of the secret that is the SSH server's key."""


class TunnelObject(TypedDict):
    """What the CLI wants to know: host (the port is built in), user, the server's public key, the dyno's address."""

    tunnel_host: str
    client_user: str
    proxy_public_key: str
    dyno_ip: str


class ReservationObject(TypedDict):
    """A dyno that can be come into, for ``ps:exec --status``."""

    dyno_name: str


class ClientKey(BaseModel):
    """Body of register."""

    model_config = ConfigDict(strict=True)
    client_key: str


@links.get("/api/v2")
def reservation_list(request: Request, services: Use, caller: Caller) -> JSONResponse:
    """The dynos of the app that can be come into."""
    with services.store.transaction() as session:
        found = _find(session, services, caller, request)
        names = dynos.names_up(session, found)
    made: list[ReservationObject] = [{"dyno_name": name} for name in names]
    return JSONResponse(made)


@links.put("/api/v2/{dyno}")
def key_register(dyno: str, body: ClientKey, request: Request, services: Use, caller: Caller) -> JSONResponse:
    """Let the holder of a key into a dyno of the app that is up, for a short time."""
    host_key = ssh_keys.host_key(services.configuration.secret(HOST_KEY))
    with services.store.transaction() as session:
        found = _find(session, services, caller, request)
        line = ssh_keys.parse(body.client_key).line
        place, _ = dynos.find_dyno(session, found, dyno)
        name = dyno_names.name(place.type, place.number)
        heroku_exec.check_up(name, place.state)
        key = exec_keys.add(session, caller, place, line)
    services.say(found, dyno_lines.exec_by_user(name, caller.email))
    made: TunnelObject = {
        "tunnel_host": services.configuration.exec_address,
        "client_user": heroku_exec.user_name(key.id),
        "proxy_public_key": host_key.public,
        "dyno_ip": heroku_exec.DYNO_ADDRESS,
    }
    return JSONResponse(made)


def _find(session: Session, services: Services, caller: Account, request: Request) -> App:
    """The app that the request is about, if the caller may run things in its dynos.

    Raises ``ApiError`` 404 when the stack has no Heroku Exec, 403 when the app has turned it off, else as ``find``.
    """
    if not services.configuration.exec_address:
        raise ApiError(404, "not_found", heroku_exec.NO_ADDRESS)
    name, _ = credentials(request.headers.get("authorization", ""))
    found = find(session, caller, name, Permission.OPERATE)
    if heroku_exec.FEATURE not in features.enabled(session, found.id):
        raise forbidden(heroku_exec.off(found.name))
    return found

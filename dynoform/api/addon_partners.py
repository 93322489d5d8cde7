"""What providers of add-ons call: exchanging a grant for a token, setting config vars, saying that they are done.

https://devcenter.heroku.com/articles/platform-api-for-partners. A token opens one add-on and nothing else.
"""

import hmac
import uuid
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from dynoform.api.addons import AddonObject, ConfigVarObject, announce, show
from dynoform.api.authentication import authenticate, token_of
from dynoform.api.errors import ApiError, not_found
from dynoform.api.services import Services, Use
from dynoform.domain import addons
from dynoform.errors import InvalidInputError
from dynoform.store import addons as store
from dynoform.store.secrets import digest
from dynoform.store.tables import Addon, AddonAttachment, now

router = APIRouter(tags=["add-on partners"])
links = APIRouter(include_in_schema=False)
_ACCESS, _REFRESH = "add-on access", "add-on refresh"
_ACCESS_SECONDS = 8 * 3600
_REFRESH_SECONDS = 10 * 365 * 24 * 3600
_MAXIMUM_CONFIG = 50


def partner(request: Request, services: Use) -> uuid.UUID:
    """The add-on that the request's token opens. ``ApiError`` 403 for a user's token, 401 for any other."""
    token = token_of(request.headers.get("authorization", "")) or ""
    try:
        claims = services.vault.verify(_ACCESS, token)
    except InvalidInputError:
        authenticate(request, services)
        raise ApiError(403, "forbidden", "Only the provider of this add-on can do this.") from None
    addon_id = uuid.UUID(claims["addon"])
    request.state.remaining = services.limiter.take(addon_id)
    return addon_id


Partner = Annotated[uuid.UUID, Depends(partner)]
"""Endpoint parameter: the id of the add-on that its provider calls for."""


class ConfigVar(BaseModel):
    """One config var, by the name of the manifest; null removes it."""

    model_config = ConfigDict(strict=True)
    name: Annotated[str, Field(max_length=200)]
    value: Annotated[str, Field(max_length=65536)] | None


class ConfigPatch(BaseModel):
    """Body of update; what is not named stays."""

    model_config = ConfigDict(strict=True)
    config: Annotated[list[ConfigVar], Field(max_length=_MAXIMUM_CONFIG)]


@router.patch("/addons/{addon}/config", response_model=list[ConfigVarObject])
def addon_config_update(addon: str, body: ConfigPatch, services: Use, mine: Partner) -> JSONResponse:
    """Set an add-on's config vars; apps get them in a release, as soon as the add-on is provisioned."""
    patch = {each.name: each.value for each in body.config}
    with services.store.transaction() as session:
        found = _own(session, addon, mine)
        addons.check_config(found.plan.service.config_vars, patch)
        before = store.provider_config(session, services.vault, found)
        config = {name: value for name, value in {**before, **patch}.items() if value is not None}
        made = []
        if config != before:
            store.save_config(session, services.vault, found, config)
        if config != before and found.state == addons.PROVISIONED:
            service = found.plan.service.name

            def describe(attachments: Sequence[AddonAttachment]) -> str:
                return addons.updated([each.name for each in attachments], service)

            made = store.set_config(session, services.vault, found, describe, found.account_id)
    announce(services, made)
    return JSONResponse([{"name": name, "value": value} for name, value in sorted(config.items())])


@router.post("/addons/{addon}/actions/provision", response_model=AddonObject)
def addon_provisioned(addon: str, services: Use, mine: Partner) -> JSONResponse:
    """The provider has made the add-on: apps get its config vars."""
    with services.store.transaction() as session:
        found = _own(session, addon, mine)
        if found.state not in (addons.PROVISIONING, addons.PROVISIONED):
            raise InvalidInputError(f"{found.name} is {found.state}")
        made = []
        if found.state == addons.PROVISIONING:
            made = store.complete(session, services.vault, found, late=True)
        shown = show(found)
    announce(services, made)
    return JSONResponse(shown)


@router.post("/addons/{addon}/actions/deprovision", response_model=AddonObject)
def addon_deprovisioned(addon: str, services: Use, mine: Partner) -> JSONResponse:
    """The provider has destroyed the add-on, or cannot make it."""
    with services.store.transaction() as session:
        found = _own(session, addon, mine)
        if found.state == addons.PROVISIONED:
            raise InvalidInputError(f"{found.name} is provisioned: only its users can destroy it")
        if found.state == addons.PROVISIONING:
            store.give_up(session, found)
        about: dict[str, Any] = {**show(found)} if found.app else {"id": str(found.id), "name": found.name}
        if found.state == addons.DEPROVISIONING:
            session.delete(found)
    return JSONResponse({**about, "state": addons.DEPROVISIONED})


@links.post("/oauth/token")
async def grant_exchange(request: Request, services: Use) -> JSONResponse:
    """Access for a code from a provision request, or for a refresh token (RFC 6749, 4.1.3 and 6).

    ``client_secret`` is the manifest's password.
    """
    form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=20)
    given = {name: values[0] for name, values in form.items()}
    return JSONResponse(await run_in_threadpool(_exchange, services, given), headers={"Cache-Control": "no-store"})


def _exchange(services: Services, given: dict[str, str]) -> dict[str, Any]:
    with services.store.transaction() as session:
        kind = given.get("grant_type", "")
        if kind == "authorization_code":
            addon = _of_code(session, given.get("code", ""))
        elif kind == "refresh_token":
            addon = _of_refresh_token(session, services, given.get("refresh_token", ""))
        else:
            raise ApiError(400, "unsupported_grant_type", "grant_type is authorization_code or refresh_token.")
        if addon is None or not _is_secret(services, addon, given.get("client_secret", "")):
            raise ApiError(401, "invalid_grant", "The grant or the client_secret is invalid, used or expired.")
        addon.grant_digest = addon.grant_expires_at = None
        claims = {"addon": str(addon.id)}
        return {
            "access_token": services.vault.sign(_ACCESS, claims, _ACCESS_SECONDS),
            "expires_in": _ACCESS_SECONDS,
            "refresh_token": services.vault.sign(_REFRESH, claims, _REFRESH_SECONDS),
            "token_type": "Bearer",
        }


def _of_code(session: Session, code: str) -> Addon | None:
    query = select(Addon).where(Addon.grant_digest == digest(code), Addon.grant_expires_at > now())
    return session.scalars(query.with_for_update(of=Addon)).unique().one_or_none()


def _of_refresh_token(session: Session, services: Services, token: str) -> Addon | None:
    try:
        claims = services.vault.verify(_REFRESH, token)
    except InvalidInputError:
        return None
    query = select(Addon).where(Addon.id == uuid.UUID(claims["addon"]))
    return session.scalars(query.with_for_update(of=Addon)).unique().one_or_none()


def _is_secret(services: Services, addon: Addon, given: str) -> bool:
    service = addon.plan.service
    secret = services.vault.decrypt(service.id, service.secrets)["password"] if service.secrets else ""
    return bool(secret) and hmac.compare_digest(secret.encode(), given.encode("utf-8", "replace"))


def _own(session: Session, reference: str, mine: uuid.UUID) -> Addon:
    """The add-on, locked, if it is the one that the token opens."""
    addon = session.get(Addon, mine)
    if addon is None or reference not in (str(addon.id), addon.name) or addon.state == addons.DEPROVISIONED:
        raise not_found("add on", "add_on")
    return store.lock(session, mine)

"""Dynoform's own, for the operator alone: the certificate of the API's names, if it is not to be the stack's own."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api.authentication import Caller, check_operator
from dynoform.api.errors import not_found
from dynoform.api.objects import shown
from dynoform.api.services import Use
from dynoform.domain import api_certificates, certificates
from dynoform.store import platform_certificates as store
from dynoform.store.tables import Account, PlatformCertificate

router = APIRouter(tags=["dynoform certificates"])


class CertificateObject(TypedDict):
    """What is served; the key is not shown."""

    certificate_chain: str
    updated_at: str


class NewCertificate(BaseModel):
    """Body of update: PEM, the chain in any order."""

    model_config = ConfigDict(strict=True)
    certificate_chain: Annotated[str, Field(max_length=certificates.MAXIMUM_BYTES)]
    private_key: Annotated[str, Field(max_length=certificates.MAXIMUM_BYTES)]


@router.get("/dynoform/certificates/api", response_model=CertificateObject)
def certificate_info(services: Use, caller: Caller) -> JSONResponse:
    """The certificate that was brought; 404 when the stack's own is served."""
    _only_operator(caller)
    with services.store.transaction() as session:
        row = session.get(PlatformCertificate, store.API)
        if row is None:
            raise not_found("certificate")
        return JSONResponse(_show(row))


@router.put("/dynoform/certificates/api", response_model=CertificateObject)
def certificate_update(body: NewCertificate, services: Use, caller: Caller) -> JSONResponse:
    """Serve this certificate on the API's names, within seconds and without an end of any connection."""
    _only_operator(caller)
    domain, now = services.configuration.domain, datetime.now(UTC)
    found = api_certificates.check(body.certificate_chain, body.private_key, domain, now)
    with services.store.transaction() as session:
        row = store.put(session, services.configuration, store.API, found.chain, body.private_key)
        return JSONResponse(_show(row))


@router.delete("/dynoform/certificates/api", response_model=CertificateObject)
def certificate_delete(services: Use, caller: Caller) -> JSONResponse:
    """Serve the stack's own again."""
    _only_operator(caller)
    with services.store.transaction() as session:
        row = store.remove(session, store.API)
        if row is None:
            raise not_found("certificate")
        return JSONResponse(_show(row))


def _show(row: PlatformCertificate) -> CertificateObject:
    return {"certificate_chain": row.chain, "updated_at": shown(row.updated_at)}


def _only_operator(caller: Account) -> None:
    check_operator(caller, "You do not have access to the platform's certificates. Only its operator has.")

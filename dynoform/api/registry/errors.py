"""Failures as Docker reads them: ``{"errors": [{"code", "message", "detail"}]}``.

https://distribution.github.io/distribution/spec/api/#errors
"""

import json

from starlette.responses import JSONResponse

from dynoform.api import errors
from dynoform.api.errors import ApiError

VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
_CODES = {
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    405: "UNSUPPORTED",
    413: "SIZE_INVALID",
    429: "TOOMANYREQUESTS",
    503: "UNAVAILABLE",
}
_UNKNOWN = "UNKNOWN"


class RegistryError(ApiError):
    """A failure with one of the registry's own codes as its identifier."""


def answer(error: Exception) -> JSONResponse:
    """The response for any exception: status and message are those of the API's other errors."""
    plain = errors.answer(error)
    message = json.loads(bytes(plain.body))["message"]
    code = error.identifier if isinstance(error, RegistryError) else _CODES.get(plain.status_code, _UNKNOWN)
    kept = {name: value for name in ("WWW-Authenticate", "Retry-After") if (value := plain.headers.get(name))}
    body = {"errors": [{"code": code, "message": message, "detail": None}]}
    return JSONResponse(body, plain.status_code, {**VERSION, **kept})

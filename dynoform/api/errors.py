"""What a client is told when something fails: ``{id, message[, resource, url]}``, from one place.

Heroku's ids and statuses: https://devcenter.heroku.com/articles/platform-api-reference#errors.
"""

from collections.abc import Mapping
from typing import NotRequired

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import faults
from dynoform.errors import (
    ConflictError,
    DynoformError,
    InvalidInputError,
    NotFoundError,
    SealedError,
    UnavailableError,
)

UNKNOWN_ENDPOINT = (
    "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), and did you "
    "specify your intended version with the `Accept` header?"
)
INTERNAL = "Internal server error. Tell your operator the Request-Id of this answer; the API's log has the reason."
MAXIMUM_BODY = 1024 * 1024
"""Bytes of a JSON body; uploads of sources have their own limit."""
SEALED = "sealed_with_another_key"
"""Id of the error that says that what is kept cannot be read with the stack's key."""
_STATUSES: tuple[tuple[type[DynoformError], int, str], ...] = (
    (InvalidInputError, 422, "invalid_params"),
    (NotFoundError, 404, "not_found"),
    (ConflictError, 409, "conflict"),
    (UnavailableError, 503, "unavailable"),
    (SealedError, 500, SEALED),
)
_REFERENCE = "https://devcenter.heroku.com/articles/platform-api-reference"
_SECTIONS = {
    "bad_request": "#clients",
    "rate_limit": "#rate-limits",
    "requested_range_not_satisfiable": "#ranges",
    "unauthorized": "#authentication",
}
"""Where to read more, by error id. Of what is not found, invalid or not permitted the message says all that there is
to say, as Heroku's own does: the CLI shows the address below each message."""


class ErrorObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#errors."""

    id: str
    message: str
    resource: NotRequired[str]
    url: NotRequired[str]


class ApiError(DynoformError):
    """A failure with a status of its own: 401, 413, 416, 429."""

    def __init__(
        self, status: int, identifier: str, message: str, headers: Mapping[str, str] | None = None, url: str = ""
    ) -> None:
        """``identifier`` is Heroku's error id, ``message`` the sentence for the user, ``url`` where to read on."""
        super().__init__(message)
        self.status = status
        self.identifier = identifier
        self.headers = dict(headers or {})
        self.url = url


def unauthorized() -> ApiError:
    """One answer for no token, a wrong one, a revoked and an expired one, so as to tell nothing about any."""
    headers = {"WWW-Authenticate": 'Basic realm="Dynoform"'}
    return ApiError(401, "unauthorized", "Invalid credentials provided.", headers)


def forbidden(message: str, url: str = "") -> ApiError:
    """The answer for something that the caller may see and not do."""
    return ApiError(403, "forbidden", message, url=url)


def not_found(noun: str, resource: str | None = None) -> NotFoundError:
    """Heroku's ``Couldn't find that app.``; ``resource`` is its name in the schema when that differs from the noun."""
    return NotFoundError(f"Couldn't find that {noun}.", resource=resource or noun)


def answer(error: Exception) -> JSONResponse:
    """The response for any exception. The text of one that nobody expected never reaches the client."""
    if isinstance(error, ApiError):
        more = {"url": error.url} if error.url else {}
        return _response(error.status, error.identifier, str(error), error.headers, **more)
    if isinstance(error, RequestValidationError):
        return _validation(error)
    if isinstance(error, HTTPException):
        return _http(error)
    for kind, status, identifier in _STATUSES:
        if isinstance(error, kind):
            resource = {"resource": error.resource} if isinstance(error, NotFoundError) and error.resource else {}
            return _response(status, identifier, str(error), {}, **resource)
    return _response(500, "internal_server_error", INTERNAL, {})


def _http(error: HTTPException) -> JSONResponse:
    if error.status_code in (404, 405):
        return _response(404, "not_found", UNKNOWN_ENDPOINT, {})
    if error.status_code == 413:
        message = f"The request's body is over {MAXIMUM_BODY} bytes. Send less at a time."
        return _response(413, "request_too_large", message, {"Connection": "close"})
    return _response(error.status_code, "bad_request", "There was a problem reading the request's body.", {})


def _validation(error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        return _response(400, "bad_request", "The request's body is not valid JSON.", {})
    if any(fault["loc"] == ("body",) for fault in found):
        message = "The request's body must be a JSON object, sent with Content-Type: application/json."
        return _response(422, "invalid_params", message, {})
    return _response(422, "invalid_params", f"Invalid request. {faults.explain(found)}", {})


def _response(status: int, identifier: str, message: str, headers: Mapping[str, str], **more: str) -> JSONResponse:
    more = {"url": _REFERENCE + _SECTIONS[identifier], **more} if identifier in _SECTIONS else more
    return JSONResponse({"id": identifier, "message": message, **more}, status, headers)

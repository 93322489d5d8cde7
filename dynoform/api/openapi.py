"""The OpenAPI document: what FastAPI reads from the endpoints, and what all of them share.

It is served at /openapi.json; ``pytest tests/contract/test_openapi.py --record`` writes docs/reference/openapi.json.
"""

from typing import Any

from fastapi import FastAPI

from dynoform.api.errors import ErrorObject

REFUSAL: dict[str, Any] = {"model": ErrorObject, "description": "Refused: `message` says why and what to do."}
"""What every endpoint may answer; without it FastAPI would promise a shape of its own for 422."""
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
    "basic": {"type": "http", "scheme": "basic", "description": "Any user, with an API token as password."},
}


class DocumentedAPI(FastAPI):
    """An application whose document says how callers sign in."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        document = super().openapi()
        document["components"]["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
        return document

"""The recorded OpenAPI document, which ``test_openapi`` compares with what the endpoints say."""

import json
from typing import Any

from dynoform.cli.places import CHECKOUT

PATH = CHECKOUT / "docs/reference/openapi.json"


def recorded() -> dict[str, Any]:
    """The document: reading it takes a hundredth of making it."""
    document: dict[str, Any] = json.loads(PATH.read_text())
    return document

"""The OpenAPI document: recorded, served, complete."""

import json
from pathlib import Path

import httpx
import pytest

from dynoform.api.application import documented

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/reference/openapi.json"


def test_the_document_is_recorded(request: pytest.FixtureRequest) -> None:
    text = json.dumps(documented().openapi(), indent=1, sort_keys=True) + "\n"
    if request.config.getoption("--record"):
        DOCUMENT.write_text(text)
    assert text == DOCUMENT.read_text(), "docs/reference/openapi.json is old: read the change, then run pytest --record"


def test_the_document_is_served(nobody: httpx.Client) -> None:
    assert nobody.get("/openapi.json").json() == json.loads(DOCUMENT.read_text())


def test_every_operation_is_described() -> None:
    for path, operations in documented().openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            good = next(iter(operation["responses"].values()))["content"]["application/json"]["schema"]
            assert good, (method, path)

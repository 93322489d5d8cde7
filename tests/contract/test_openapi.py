"""The OpenAPI document: recorded, served, complete."""

import json

import httpx
import pytest

from dynoform.api.application import documented
from tests.contract.document import PATH, recorded


def test_the_document_is_recorded(request: pytest.FixtureRequest) -> None:
    text = json.dumps(documented().openapi(), indent=1, sort_keys=True) + "\n"
    if request.config.getoption("--record"):
        PATH.write_text(text)
    assert text == PATH.read_text(), "docs/reference/openapi.json is old: read the change, then run pytest --record"


def test_the_document_is_served(nobody: httpx.Client) -> None:
    assert nobody.get("/openapi.json").json() == recorded()


def test_every_operation_is_described() -> None:
    for path, operations in recorded()["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            good = next(iter(operation["responses"].values()))["content"]["application/json"]["schema"]
            assert good, (method, path)

"""Every operation of the OpenAPI document, tried with requests that schemathesis makes up."""

import uuid
from collections.abc import Callable, Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from requests import codes
from schemathesis import Case, GenerationMode
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import response_schema_conformance

from dynoform.attempts import attempts
from tests.contract.conftest import OPERATOR_KEY
from tests.contract.document import recorded

OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(recorded()).get_all_operations()]
EXAMPLES = max(3, 400 // len(OPERATIONS))
"""For each operation, so that all of them together stay under a minute."""


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_nothing_makes_an_operation_fail(
    address: str, app: str, slug: uuid.UUID, session: requests.Session, operation: APIOperation
) -> None:
    """Requests that fit the document and such that do not; half of them on an app that is there."""
    fitting, unfitting = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=fitting | unfitting, known=st.booleans())
    def check(case: Case, known: bool) -> None:
        if known and "app" in case.path_parameters:
            case.path_parameters["app"] = app
        answer = patient(lambda: case.call(base_url=address, session=session, timeout=60))
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        if answer.status_code < 400:
            case.validate_response(answer, checks=[response_schema_conformance])

    check()


def patient(call: Callable[[], Response]) -> Response:
    """An answer; one that says that the store is busy, to be asked again, is none until it lasts."""
    for _ in attempts(30):
        answer = call()
        if answer.status_code != codes.unavailable:
            break
    return answer


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """Signs in as the operator."""
    with requests.Session() as made:
        made.trust_env = False
        made.headers["Authorization"] = f"Bearer {OPERATOR_KEY}"
        yield made

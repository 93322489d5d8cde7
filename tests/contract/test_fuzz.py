"""Nothing that a client sends makes the API fail: every answer is below 500 and every error has Heroku's shape."""

import json
import string
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.test_common import ROUTES, is_heroku_error

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = """
name stack region maintenance release slug description updates type quantity size source_blob url version lines tail
dyno source docker_image build_stack FOO
"""
KNOWN = st.sampled_from(NAMES.split())
BODIES = st.dictionaries(KNOWN, VALUES, max_size=4) | VALUES
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@RELAXED
@given(route=st.sampled_from(ROUTES), body=BODIES)
def test_any_json_is_answered(client: httpx.Client, route: tuple[str, str], body: object) -> None:
    method, path = route
    if client.get("/apps/myapp").status_code == 404:
        client.post("/apps", json={"name": "myapp"}).raise_for_status()
    answer = client.request(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text
    assert answer.status_code < 400 or is_heroku_error(answer)


@RELAXED
@given(
    header=st.sampled_from(["Range", "If-None-Match", "Authorization", "Request-Id", "Content-Type", "Accept"]),
    value=st.text(string.printable.strip() + " ", max_size=40),
)
def test_any_header_is_answered(client: httpx.Client, header: str, value: str) -> None:
    answer = client.get("/apps", headers={header: value.strip()})
    assert answer.status_code < 500, answer.text
    assert answer.status_code < 400 or is_heroku_error(answer)


@RELAXED
@given(reference=st.text(min_size=1, max_size=50).filter(lambda text: text not in (".", "..")))
def test_any_name_is_answered(client: httpx.Client, reference: str) -> None:
    for path in ("/apps/{}", "/apps/myapp/releases/{}", "/stacks/{}", "/apps/myapp/dynos/{}"):
        answer = client.get(path.format(quote(reference.encode("utf-8", "replace"), safe="")))
        assert answer.status_code < 500, answer.text
        assert answer.status_code < 400 or is_heroku_error(answer)

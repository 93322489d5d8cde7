"""What every route shares: authentication, the shape of errors, headers, limits."""

import base64
import re
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text, update

from dynoform.api.addon_partners import partner
from dynoform.api.application import RESOURCES, create_application
from dynoform.api.authentication import authenticate, sign_in
from dynoform.api.errors import UNKNOWN_ENDPOINT
from dynoform.api.services import Services
from dynoform.store.session import Store
from dynoform.store.tables import Authorization, now
from tests.contract.conftest import OPERATOR_KEY

ASKING = {authenticate, partner, sign_in}
"""Dependencies that refuse a request without a token."""
REFERENCE = "https://devcenter.heroku.com/articles/platform-api-reference"
UNAUTHORIZED = {
    "id": "unauthorized",
    "message": "Invalid credentials provided.",
    "url": f"{REFERENCE}#authentication",
}


def routes() -> Iterator[tuple[str, str]]:
    """Every documented method and path, with ids filled in."""
    for resource in RESOURCES:
        for route in resource.router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods:
                path = route.path.replace("{app}", "myapp").replace("{type}", "web")
                yield method, re.sub(r"\{[^}]+\}", str(uuid.UUID(int=0)), path)


ROUTES = sorted(set(routes()))


def is_heroku_error(answer: httpx.Response) -> bool:
    """Whether the body is ``{id, message[, resource, url]}`` and nothing else, as JSON."""
    body = answer.json()
    known = {"id", "message"} <= set(body) <= {"id", "message", "resource", "url"}
    return known and all(isinstance(value, str) and value for value in body.values())


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer undefined"}])
def test_every_route_asks_for_a_token(nobody: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in ROUTES:
        answer = nobody.request(method, path, headers=headers, json={})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), (method, path)
        assert "RateLimit-Remaining" not in answer.headers


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": "\xff"}', b"[" * 100_000, b'"\\ud800"', b"1" * 5000])
def test_no_body_breaks_a_route(client: httpx.Client, app: str, content: bytes) -> None:
    for method, path in ROUTES:
        answer = client.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (method, path)
        assert answer.status_code < 400 or is_heroku_error(answer), (method, path)
        assert answer.headers["content-type"] == "application/json"


def test_an_error_says_where_to_read_on(client: httpx.Client, services: Services) -> None:
    wrong_json = client.post("/apps", content=b"{")
    assert (wrong_json.status_code, wrong_json.json()["url"]) == (400, f"{REFERENCE}#clients")
    wrong_range = client.get("/apps", headers={"Range": "size .."})
    assert (wrong_range.status_code, wrong_range.json()["url"]) == (416, f"{REFERENCE}#ranges")
    identifier = uuid.UUID(client.get("/account").json()["id"])
    while services.limiter.remaining(identifier) > 0:
        services.limiter.take(identifier)
    assert client.get("/account").json()["url"] == f"{REFERENCE}#rate-limits"


def test_a_body_over_the_limit_is_refused(client: httpx.Client, app: str) -> None:
    for method, path in ROUTES:
        answer = client.request(method, path, content=b" " * (1024 * 1024 + 1))
        assert (answer.status_code, answer.json()["id"]) == (413, "request_too_large"), (method, path)
        assert is_heroku_error(answer)


def test_a_body_without_length_is_limited_too(client: httpx.Client, app: str) -> None:
    answer = client.patch(f"/apps/{app}/config-vars", content=(b" " * 65536 for _ in range(20)))
    assert (answer.status_code, answer.json()["id"]) == (413, "request_too_large")


def _asks(route: APIRoute) -> bool:
    return bool(ASKING & {part.call for part in route.dependant.dependencies})


def test_every_route_has_authentication_declared(services: Services) -> None:
    open_routes = set()
    for route in create_application(services).routes:
        if isinstance(route, APIRoute) and not _asks(route):
            open_routes.add(route.path)
    assert open_routes <= {
        "/health",
        "/oauth/token",
        "/oauth/tokens",
        "/buildpacks",
        "/buildpacks/{name:path}",
        "/builds/{build}/output",
        "/log-sessions/{token}",
        "/releases/{release}/output",
        "/sources/{source}",
    }


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", "/apps"), ("PUT", "/apps/myapp/dynos")])
def test_what_is_not_there_is_answered_as_heroku_does(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()) == (404, {"id": "not_found", "message": UNKNOWN_ENDPOINT})


@pytest.mark.parametrize("user", ["", "anything", "ann@example.com"])
def test_basic_takes_the_token_as_password(nobody: httpx.Client, user: str) -> None:
    token = base64.b64encode(f"{user}:{OPERATOR_KEY}".encode()).decode()
    assert nobody.get("/account", headers={"Authorization": f"Basic {token}"}).json()["email"] == "ann@example.com"


@pytest.mark.parametrize(
    "header",
    ["Basic !!!", "Basic", "Bearer", "Digest x", OPERATOR_KEY, "Bearer " + "x" * 600, "Basic /w=="],
)
def test_broken_credentials_are_just_invalid(nobody: httpx.Client, header: str) -> None:
    answer = nobody.get("/account", headers={"Authorization": header})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("change", [{"revoked_at": now()}, {"expires_at": now() - timedelta(seconds=1)}])
def test_a_revoked_or_expired_token_is_invalid(client: httpx.Client, store: Store, change: dict[str, object]) -> None:
    assert client.get("/account").status_code == 200
    with store.transaction() as session:
        session.execute(update(Authorization).values(**change))
    answer = client.get("/account")
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_a_request_id_is_given_or_kept(client: httpx.Client) -> None:
    uuid.UUID(client.get("/account").headers["Request-Id"])
    mine = str(uuid.uuid4())
    assert client.get("/account", headers={"Request-Id": f"{mine},{uuid.uuid4()}"}).headers["Request-Id"] == mine
    assert client.get("/account", headers={"Request-Id": "short"}).headers["Request-Id"] != "short"
    assert client.get("/nothing").headers["Request-Id"]


def test_calls_are_counted_until_the_limit(client: httpx.Client, services: Services, operator: object) -> None:
    assert client.get("/account").headers["RateLimit-Remaining"] == "4499"
    assert client.get("/apps").headers["RateLimit-Remaining"] == "4498"
    identifier = uuid.UUID(client.get("/account").json()["id"])
    while services.limiter.remaining(identifier) > 1:
        services.limiter.take(identifier)
    assert client.get("/account").headers["RateLimit-Remaining"] == "0"
    assert client.get("/account/rate-limits").json() == {"remaining": 0}
    answer = client.get("/account")
    assert (answer.status_code, answer.json()["id"], answer.headers["RateLimit-Remaining"]) == (429, "rate_limit", "0")


def test_an_etag_spares_the_body(client: httpx.Client, app: str) -> None:
    first = client.get(f"/apps/{app}")
    tag = first.headers["ETag"]
    again = client.get(f"/apps/{app}", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    client.patch(f"/apps/{app}", json={"maintenance": True})
    changed = client.get(f"/apps/{app}", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_an_unexpected_failure_tells_nothing_but_the_request_id(
    client: httpx.Client, services: Services, store: Store
) -> None:
    with store.transaction() as session:
        session.execute(text("ALTER TABLE apps RENAME TO apps_away"))
    try:
        answer = client.get("/apps")
    finally:
        with store.transaction() as session:
            session.execute(text("ALTER TABLE apps_away RENAME TO apps"))
    assert (answer.status_code, answer.json()["id"]) == (500, "internal_server_error")
    assert "apps" not in answer.json()["message"]
    entries = services.journal.entries  # type: ignore[attr-defined]
    logged = next(fields for event, fields in entries if event == "error exception")
    assert logged["request_id"] == answer.headers["Request-Id"]
    assert "apps" in str(logged["error"])


def test_the_journal_never_has_a_query_or_a_token(client: httpx.Client, services: Services) -> None:
    client.get("/builds/x/output?token=secret-of-a-link")
    client.get("/log-sessions/secret-of-a-session")
    url = "https://user:secret-of-a-drain@logs.example.com/in?key=secret-of-too"
    for place in ("/apps/shop/log-drains", "/telemetry-drains", "/oauth/authorizations"):
        for reference in (url, quote(url, safe=""), quote(quote(url, safe=""), safe=""), f"{uuid.UUID(int=1)}{url}"):
            client.delete(f"{place}/{reference}")
        client.delete(f"{place}/%0asecret-of-a-line")
    known = {f"/apps/shop/log-drains/d.{uuid.UUID(int=1)}", f"/oauth/authorizations/{uuid.UUID(int=1)}"}
    for path in known:
        client.get(path)
    entries = services.journal.entries  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60  # an answer may be there before its line is
    while not {"/apps/shop/log-drains/…", *known} <= {fields.get("path") for _, fields in entries}:
        assert time.monotonic() < deadline, entries
        time.sleep(0.02)
    assert "secret-of" not in str(entries)


def test_head_is_answered_as_get_without_a_body(client: httpx.Client, app: str, slug: uuid.UUID) -> None:
    for path in ("/account", f"/apps/{app}", f"/apps/{app}/releases", "/apps/nothing", "/nothing"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        same = ("content-type", "content-length", "etag", "accept-ranges", "content-range")
        assert [head.headers.get(name) for name in same] == [got.headers.get(name) for name in same]
        assert ("ratelimit-remaining" in head.headers) is ("ratelimit-remaining" in got.headers)
    tag = client.get("/account").headers["ETag"]
    assert client.head("/account", headers={"If-None-Match": tag}).status_code == 304
    assert client.head("/log-sessions/x").status_code == 404


def test_every_list_comes_in_pages(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]
    for path, operations in described.items():
        # The data API is another one on Heroku, at a host of its own, and knows no ranges.
        if "get" not in operations or path.startswith(("/client/", "/postgres/", "/redis/")):
            continue
        answer = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        headers = [each["name"] for each in operations["get"].get("parameters", ()) if each["in"] == "header"]
        assert (answer.get("type") == "array") is ("Range" in headers), path


def test_a_short_list_comes_in_pages_and_else_in_its_own_order(client: httpx.Client, app: str) -> None:
    names = [size["name"] for size in client.get("/dyno-sizes").json()]
    pages, wanted = [], "name ..; max=2"
    while wanted:
        answer = client.get("/dyno-sizes", headers={"Range": wanted})
        pages += [size["name"] for size in answer.json()]
        wanted = answer.headers.get("Next-Range", "")
        assert (answer.status_code, len(answer.json()) <= 2) == (206 if wanted else 200, True)
    assert pages == sorted(names) != names
    packs = [f"https://example.com/{number}" for number in range(12)]
    body = {"updates": [{"buildpack": pack} for pack in packs]}
    path = f"/apps/{app}/buildpack-installations"
    client.put(path, json=body).raise_for_status()
    assert [each["buildpack"]["url"] for each in client.get(path).json()] == packs
    page = client.get(path, headers={"Range": "ordinal ]8..; max=2"})
    assert [each["ordinal"] for each in page.json()] == [9, 10]
    assert page.headers["Next-Range"] == "ordinal ]10..; max=2"
    bob = client.post(f"/apps/{app}/collaborators", json={"user": "bob@example.com"}).json()
    path = f"/apps/{app}/collaborators"
    assert [each["user"]["email"] for each in client.get(path).json()] == ["ann@example.com", "bob@example.com"]
    assert client.get(path, headers={"Range": f"id {bob['id']}..{bob['id']}"}).json() == [bob]
    assert client.get(path, headers={"Range": "email .."}).status_code == 416


def test_a_document_describes_every_route(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert paths["/apps/{app}/releases"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"]
    assert "/sources/{source}" not in paths
    assert len(paths) >= 25


def test_health_needs_no_token(nobody: httpx.Client) -> None:
    assert nobody.get("/health").json() == {"status": "ok"}


def test_a_connection_that_was_lost_is_made_anew(client: httpx.Client, store: Store) -> None:
    client.get("/account").raise_for_status()
    with store.transaction() as session:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        session.execute(text(others))
    assert client.get("/account").status_code == 200

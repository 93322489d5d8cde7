"""Who may do what: over every route that there is, so that a new one cannot forget to ask."""

import re
import uuid
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from dynoform.api.application import RESOURCES
from dynoform.api.errors import UNKNOWN_ENDPOINT
from dynoform.domain import scopes
from dynoform.domain.scopes import Scope
from tests.contract import samples
from tests.contract.conftest import Person
from tests.contract.document import recorded

NO_APP = {"id": "not_found", "message": "Couldn't find that app.", "resource": "app"}
NO_TEAM = {"id": "not_found", "message": "Couldn't find that team.", "resource": "team"}
ROUTES = sorted(
    (method, re.sub(r":\w+}", "}", route.path))  # as the document has it, without {drain:path}'s convertor
    for resource in RESOURCES
    for route in resource.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
)
OF_APPS = [(method, path) for method, path in ROUTES if "{app}" in path]
OF_TEAMS = [(method, path) for method, path in ROUTES if "{team}" in path]
FREE_TO_VIEWERS = {("POST", "/apps/{app}/log-sessions")}
"""What somebody with ``view`` alone may do that is not a GET."""
SECRET = {
    ("GET", "/apps/{app}/config-vars"),
    ("GET", "/apps/{app}/releases/{release}/config-vars"),
    ("GET", "/apps/{app}/log-drains"),
    ("GET", "/apps/{app}/log-drains/{drain}"),
    ("GET", "/apps/{app}/telemetry-drains"),
    ("GET", "/apps/{app}/webhooks"),
    ("GET", "/apps/{app}/webhooks/{webhook}"),
    ("GET", "/apps/{app}/webhook-events"),
    ("GET", "/apps/{app}/webhook-events/{event}"),
    ("GET", "/apps/{app}/webhook-deliveries"),
    ("GET", "/apps/{app}/webhook-deliveries/{delivery}"),
}
"""What they may not read."""
PROTECTED = [
    ("GET", "/addons/{addon}/config"),
    ("GET", "/addons/{addon}/config/{namespace}"),
    ("GET", "/apps/{app}/config-vars"),
    ("PATCH", "/apps/{app}/config-vars"),
    ("GET", "/apps/{app}/releases/{release}/config-vars"),
    ("GET", "/pipelines/{pipeline}/stage/{stage}/config-vars"),
    ("PATCH", "/pipelines/{pipeline}/stage/{stage}/config-vars"),
    ("GET", "/apps/{app}/log-drains"),
    ("POST", "/apps/{app}/log-drains"),
    ("GET", "/apps/{app}/log-drains/{drain}"),
    ("PUT", "/apps/{app}/log-drains/{drain}"),
    ("PATCH", "/apps/{app}/log-drains/{drain}"),
    ("DELETE", "/apps/{app}/log-drains/{drain}"),
    ("GET", "/apps/{app}/webhooks"),
    ("POST", "/apps/{app}/webhooks"),
    ("GET", "/apps/{app}/webhooks/{webhook}"),
    ("PATCH", "/apps/{app}/webhooks/{webhook}"),
    ("DELETE", "/apps/{app}/webhooks/{webhook}"),
    ("POST", "/app-setups"),
    ("POST", "/apps/{app}/dynos"),
    ("POST", "/apps/{app}/dynos/{dyno}"),
    ("POST", "/apps/{app}/scheduler-jobs"),
    ("PATCH", "/apps/{app}/scheduler-jobs/{job}"),
]
"""What shows config vars, credentials or keys, or lets somebody look at them from within a dyno."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The API's own description."""
    return recorded()


@pytest.fixture
def team(client: httpx.Client) -> str:
    """The name of a team of the operator."""
    return str(client.post("/teams", json={"name": "acme"}).raise_for_status().json()["name"])


def call(
    client: httpx.Client, document: dict[str, Any], method: str, path: str, app: str = "myapp", team: str = "acme"
) -> httpx.Response:
    """Send the route its smallest body, with ids of nothing in the other places of its path."""
    filled = path.replace("{app}", app).replace("{team}", team)
    for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
        filled = filled.replace(f"{{{name}}}", str(uuid.UUID(int=0)))
    return client.request(method, filled, json=samples.body(document, method, path))


@pytest.mark.parametrize(("method", "path"), OF_APPS)
def test_somebody_elses_app_is_answered_as_none_on_every_route(
    app: str, stranger: httpx.Client, document: dict[str, Any], method: str, path: str
) -> None:
    theirs, none = (call(stranger, document, method, path, app=name) for name in (app, "no-such-app"))
    assert (theirs.status_code, theirs.json()) == (none.status_code, none.json()) == (404, NO_APP)


@pytest.mark.parametrize(("method", "path"), OF_TEAMS)
def test_somebody_elses_team_is_answered_as_none_on_every_route(
    team: str, stranger: httpx.Client, document: dict[str, Any], method: str, path: str
) -> None:
    theirs, none = (call(stranger, document, method, path, team=name) for name in (team, "no-such-team"))
    assert (theirs.status_code, theirs.json()) == (none.status_code, none.json()) == (404, NO_TEAM)


def test_a_removed_collaborator_is_a_stranger_at_once_on_every_route(
    client: httpx.Client, app: str, stranger: httpx.Client, document: dict[str, Any]
) -> None:
    client.post(f"/apps/{app}/collaborators", json={"user": "bob@example.com"}).raise_for_status()
    assert stranger.get(f"/apps/{app}").status_code == 200
    client.delete(f"/apps/{app}/collaborators/bob@example.com").raise_for_status()
    for method, path in OF_APPS:
        answer = call(stranger, document, method, path)
        assert (answer.status_code, answer.json()) == (404, NO_APP), (method, path)


def test_who_may_only_view_changes_nothing_and_reads_no_secret_on_any_route(
    client: httpx.Client, team: str, stranger: httpx.Client, document: dict[str, Any]
) -> None:
    client.post("/teams/apps", json={"name": "myapp", "team": team}).raise_for_status()
    client.put(f"/teams/{team}/members", json={"email": "bob@example.com", "role": "viewer"}).raise_for_status()
    for method, path in OF_APPS:
        answer = call(stranger, document, method, path)
        if (method, path) in FREE_TO_VIEWERS or (method == "GET" and (method, path) not in SECRET):
            assert answer.status_code in (200, 201) or answer.json()["resource"] != "app", (method, path)
        else:
            refused = "You do not have access to the app myapp. You need to have the "
            assert (answer.status_code, answer.json()["message"][: len(refused)]) == (403, refused), (method, path)


@pytest.mark.parametrize("scope", Scope)
def test_a_token_does_what_its_scope_says_on_every_route(
    app: str, person: Person, document: dict[str, Any], scope: Scope
) -> None:
    client = person("bob", scope)
    for method, path in ROUTES:
        answer = call(client, document, method, path)
        wanted = scopes.needed(method, path)
        refused = answer.status_code == 403 and answer.json()["message"].startswith("The scope granted by this OAuth")
        assert refused is not (wanted is None or scopes.allows([scope], wanted)), (method, path, answer.text)
        assert answer.json() != {"id": "not_found", "message": UNKNOWN_ENDPOINT}, (method, path)


@pytest.mark.parametrize("scope", ["read", "write"])
@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_token_without_protected_scope_sees_no_secret(
    app: str, person: Person, document: dict[str, Any], scope: str, method: str, path: str
) -> None:
    answer = call(person("bob", scope), document, method, path)
    needed = "read-protected" if method == "GET" else "write-protected"
    message = f"The scope granted by this OAuth authorization does not allow access to this resource. It has {scope};"
    assert (answer.status_code, answer.json()["message"]) == (403, f"{message} this call needs {needed}.")


def test_the_answer_to_a_scope_that_is_too_narrow_says_what_is_needed(app: str, person: Person) -> None:
    answer = person("bob", "read", "identity").get(f"/apps/{app}/config-vars")
    assert (answer.status_code, answer.json()) == (
        403,
        {
            "id": "forbidden",
            "message": "The scope granted by this OAuth authorization does not allow access to this resource. "
            "It has read, identity; this call needs read-protected.",
            "url": "https://devcenter.heroku.com/articles/oauth#scopes",
        },
    )


@pytest.mark.parametrize(
    ("held", "method", "path", "body"),
    [
        ("deploy", "PATCH", "/apps/myapp/config-vars", {"A": "1"}),
        ("deploy", "GET", "/apps/myapp/config-vars", None),
        ("deploy", "POST", "/apps/myapp/sources", None),
        ("operate", "PATCH", "/apps/myapp", {"maintenance": True}),
        ("operate", "DELETE", "/apps/myapp/dynos", None),
        ("operate", "PATCH", "/apps/myapp/features/preboot", {"enabled": True}),
        ("manage", "PATCH", "/apps/myapp", {"name": "renamed"}),
        ("manage", "POST", "/apps/myapp/collaborators", {"user": "new@example.com"}),
        ("manage", "DELETE", "/apps/myapp", None),
    ],
)
def test_each_permission_is_for_its_own_calls(
    client: httpx.Client, team: str, stranger: httpx.Client, held: str, method: str, path: str, body: object
) -> None:
    client.post("/teams/apps", json={"name": "myapp", "team": team}).raise_for_status()
    others = [name for name in ("deploy", "operate", "manage") if name != held]
    shared = {"user": "bob@example.com", "permissions": others}
    client.post("/teams/apps/myapp/collaborators", json=shared).raise_for_status()
    refused = stranger.request(method, path, json=body)
    assert (refused.status_code, refused.json()) == (
        403,
        {
            "id": "forbidden",
            "message": f"You do not have access to the app myapp. You need to have the {held} permission on this app.",
        },
    )
    change = {"permissions": [held]}
    client.patch("/teams/apps/myapp/collaborators/bob@example.com", json=change).raise_for_status()
    stranger.request(method, path, json=body).raise_for_status()

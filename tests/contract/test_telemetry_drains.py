"""Telemetry drains: what is taken, what of it is shown, and that logs get there by OpenTelemetry's protocol."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from sqlalchemy import select

from dynoform.api.drain_feed import LOOK_SECONDS
from dynoform.api.services import Services
from dynoform.domain.log_drains import Reach
from dynoform.logplex.places import Connector
from dynoform.store.session import Store
from dynoform.store.tables import TelemetryDrain
from tests.api_server import serving
from tests.contract.conftest import make_client, make_services
from tests.contract.receiver import Receiver, receiver
from tests.integration.certificates import Authority
from tests.log_plane import Plane
from tests.store_fixtures import OPERATOR_KEY

ENDPOINT = "https://user:hunter2@otel.example.com/v1?key=hunter3"
SHOWN = "https://user:********@otel.example.com/v1?key=********"
SOON = LOOK_SECONDS - 10
"""Within which nobody would have looked for himself."""


def body(app_id: str, endpoint: str = ENDPOINT, **changes: Any) -> dict[str, Any]:
    exporter = {"endpoint": endpoint, "headers": {"x-api-key": "hunter4"}, "type": "otlphttp"}
    owner = {"id": app_id, "type": "app"}
    return {"exporter": exporter, "owner": owner, "signals": ["traces", "metrics", "logs"]} | changes


@pytest.fixture
def app_id(client: httpx.Client, app: str) -> str:
    return str(client.get(f"/apps/{app}").json()["id"])


def test_a_drain_is_made_shown_changed_and_removed(client: httpx.Client, app: str, app_id: str, store: Store) -> None:
    answer = client.post("/telemetry-drains", json=body(app_id))
    assert answer.status_code == 201, answer.text
    drain = answer.json()
    assert set(drain) == {"created_at", "exporter", "id", "owner", "signals", "updated_at"}
    assert drain["exporter"] == {"endpoint": SHOWN, "headers": {"x-api-key": "********"}, "type": "otlphttp"}
    assert (drain["owner"], drain["signals"]) == ({"id": app_id, "type": "app"}, ["traces", "metrics", "logs"])
    with store.transaction() as session:
        assert b"hunter" not in session.scalars(select(TelemetryDrain.exporter)).one()
    assert client.get(f"/apps/{app}/telemetry-drains").json() == [drain]
    path = f"/telemetry-drains/{drain['id']}"
    assert client.get(path).json() == drain
    changed = client.patch(path, json={"signals": ["logs"], "exporter": {"endpoint": "https://b.example.com"}}).json()
    assert changed["signals"] == ["logs"]
    assert changed["exporter"] == {
        "endpoint": "https://b.example.com", "headers": {"x-api-key": "********"}, "type": "otlphttp"
    }  # fmt: skip
    assert client.delete(path).json() == changed
    gone = {"id": "not_found", "resource": "telemetry_drain", "message": "Couldn't find that telemetry drain."}
    assert client.get(path).json() == gone


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signals": ["profiles"]}, "Signals must be some of: traces, metrics, logs."),
        ({"signals": []}, "Signals must be some of: traces, metrics, logs."),
        ({"owner": {"id": "x", "type": "space"}}, "Owner must be an app: add the drain to each app of the space."),
        (
            {"exporter": {"endpoint": ENDPOINT, "type": "otlp"}},
            "Exporter type must be otlphttp: OTLP is sent over HTTPS here, not over gRPC.",
        ),
        ({"exporter": {"endpoint": "syslog://a.example.com:514"}}, "Url is invalid: it must start with https://"),
        (
            {"exporter": {"endpoint": "https://169.254.169.254/"}},
            "Url is invalid: its host is none that logs can be sent to",
        ),
        (
            {"exporter": {"endpoint": ENDPOINT, "headers": {"Host": "a"}}},
            "Headers cannot have 'Host': use names that are an HTTP header's.",
        ),
        (
            {"exporter": {"endpoint": ENDPOINT, "headers": {"a": "b\r\nc: d"}}},
            "Headers have a value for a that is not 1 to 2000 printable characters.",
        ),
        (
            {"exporter": {"endpoint": ENDPOINT, "headers": {f"h{n}": "x" for n in range(21)}}},
            "Headers must be 20 or fewer.",
        ),
    ],
)
def test_what_cannot_be_is_refused(client: httpx.Client, app_id: str, changes: dict[str, Any], message: str) -> None:
    answer = client.post("/telemetry-drains", json=body(app_id, **changes))
    assert (answer.status_code, answer.json()["message"]) == (422, message)


def test_an_app_has_five_and_strangers_see_none(
    client: httpx.Client, stranger: httpx.Client, app: str, app_id: str
) -> None:
    made = [client.post("/telemetry-drains", json=body(app_id)).raise_for_status().json() for _ in range(5)]
    answer = client.post("/telemetry-drains", json=body(app_id))
    assert answer.json()["message"] == "You cannot add more than 5 telemetry drains"
    path = f"/telemetry-drains/{made[0]['id']}"
    assert stranger.get(f"/apps/{app}/telemetry-drains").status_code == 404
    answers = [
        stranger.get(path),
        stranger.delete(path),
        stranger.patch(path, json={"signals": ["logs"]}),
        stranger.post("/telemetry-drains", json=body(app_id)),
        stranger.get(f"/telemetry-drains/{uuid.uuid4()}"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5


@pytest.fixture
def https(authority: Authority, tmp_path: Path) -> Iterator[Receiver]:
    with receiver(authority, tmp_path) as made:
        yield made


@pytest.fixture
def reaching(services: Services, operator: object) -> Iterator[tuple[httpx.Client, Services]]:
    """An API that lets drains lead to this machine, and tells the log plane of them."""
    configuration = replace(services.configuration, drain_networks=("127.0.0.0/8",), platform_address="127.0.0.1")
    made = make_services(configuration, services.store)
    object.__setattr__(made, "reach", Reach(frozenset(), ("127.0.0.0/8",)))
    with serving(made) as url, make_client(url, OPERATOR_KEY) as client:
        yield client, made


def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_logs_reach_both_kinds_of_drains_as_soon_as_they_are_made_and_also_of_a_new_log_plane(
    reaching: tuple[httpx.Client, Services], https: Receiver, authority: Authority, tmp_path: Path
) -> None:
    client, services = reaching
    app_id = str(client.post("/apps", json={"name": "drained"}).raise_for_status().json()["id"])
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    connector = Connector(services.reach, tmp_path / "ca.pem")
    plane = Plane(services.logplex_port, connector=connector)
    try:
        until(lambda: plane.server.drains.version)
        otlp = https.url.partition("/hooks")[0]
        drain = client.post("/telemetry-drains", json=body(app_id, otlp)).raise_for_status().json()
        until(lambda: len(plane.server.drains) == 1, SOON)
        plane.write(app_id, "by OTLP")
        (request,) = https.wait(1)
        assert (request.path, request.headers["Content-Type"]) == ("/v1/logs", "application/json")
        assert request.headers["x-api-key"] == "hunter4"
        read = json_format.Parse(request.body, ExportLogsServiceRequest())
        assert read.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "by OTLP"
        client.patch(f"/telemetry-drains/{drain['id']}", json={"signals": ["traces"]}).raise_for_status()
        until(lambda: len(plane.server.drains) == 0, SOON)
        client.post("/apps/drained/log-drains", json={"url": https.url}).raise_for_status()
        until(lambda: len(plane.server.drains) == 1, SOON)
        plane.stop(kill=True)
        plane.start()
        until(lambda: len(plane.server.drains) == 1, SOON)
        plane.write(app_id, "to the new one")
        assert https.wait(2)[1].body.endswith(b"app web.1 - to the new one\n")
        client.delete("/apps/drained/log-drains/" + client.get("/apps/drained/log-drains").json()[0]["id"])
        until(lambda: len(plane.server.drains) == 0, SOON)
    finally:
        plane.stop(kill=True)

"""Log lines in OTLP's JSON, read with OpenTelemetry's own schema."""

import uuid

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from dynoform.domain import otlp

APP = str(uuid.uuid4())
LINES = [
    b"2026-11-26T06:00:00.123456+00:00 app[web.1]: hello \xe2\x9c\x93",
    b'2026-11-26T06:00:01.000000+00:00 heroku[router]: at=error code=H12 desc="Request timeout"',
    b"2026-11-26T06:00:02.000000+00:00 app[web.1]: and\tagain",
    b"2026-11-26T06:00:03.000000+00:00 heroku[web.1]: Error R14 (Memory quota exceeded)",
    b"no line",
]


def test_lines_are_an_export_request() -> None:
    request = json_format.Parse(otlp.request(LINES, APP, "myapp", 5), ExportLogsServiceRequest())
    found = []
    for group in request.resource_logs:
        resource = {each.key: each.value.string_value for each in group.resource.attributes}
        assert (resource["service.name"], resource["heroku.app.id"]) == ("myapp", APP)
        for record in group.scope_logs[0].log_records:
            place = f"{resource['heroku.source']}[{resource['service.instance.id']}]"
            found.append((place, record.body.string_value, record.severity_text, record.time_unix_nano))
    second = 1_795_672_800 * 10**9
    assert found == [
        ("app[web.1]", "hello ✓", "INFO", second + 123_456_000),
        ("app[web.1]", "and\tagain", "INFO", second + 2 * 10**9),
        ("heroku[router]", 'at=error code=H12 desc="Request timeout"', "ERROR", second + 10**9),
        ("heroku[web.1]", "Error R14 (Memory quota exceeded)", "ERROR", second + 3 * 10**9),
    ]
    assert request.resource_logs[0].scope_logs[0].log_records[0].observed_time_unix_nano == 5


def test_logs_have_a_path_of_their_own() -> None:
    assert [otlp.path(base) for base in ("", "/", "/otlp/", "/otlp/v1/logs")] == [
        "/v1/logs",
        "/v1/logs",
        "/otlp/v1/logs",
        "/otlp/v1/logs",
    ]

"""Engine events become lines for the operator."""

from pathlib import Path
from typing import Any

import pytest

from dynoform.cli.events import Run, Tail, one_line, reasons, short

STACK = "urn:pulumi:local::dynoform::pulumi:pulumi:Stack::dynoform-local"
SERVICE = "urn:pulumi:local::dynoform::dynoform:index:Router$docker:index/service:Service::local-router"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}


def pre(op: str, urn: str = SERVICE, kind: str = "docker:index/service:Service", at: int = 100) -> dict[str, Any]:
    return {"timestamp": at, "resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": kind}}}


def out(
    op: str, urn: str = SERVICE, kind: str = "docker:index/service:Service", at: int = 100, **new: Any
) -> dict[str, Any]:
    return {"timestamp": at, "resOutputsEvent": {"metadata": {"op": op, "urn": urn, "type": kind, "new": new}}}


def said(severity: str, message: str, urn: str = SERVICE, **more: Any) -> dict[str, Any]:
    return {"timestamp": 100, "diagnosticEvent": {"severity": severity, "message": message, "urn": urn, **more}}


def lines(*events: dict[str, Any]) -> list[str]:
    run = Run()
    return [progress.text for event in events for progress in run.take(event)]


@pytest.mark.parametrize(
    ("urn", "expected"),
    [
        (SERVICE, "docker:Service local-router"),
        (STACK, "pulumi:Stack dynoform-local"),
        ("urn:pulumi:a::b::dynoform:index:Playbook::local-host", "dynoform:Playbook local-host"),
        ("", ""),
    ],
)
def test_urns_are_shortened(urn: str, expected: str) -> None:
    assert short(urn) == expected


def test_created_resource_is_told_with_its_time() -> None:
    assert lines(pre("create", at=100), out("create", at=107)) == ["✓ docker:Service local-router created (7 s)"]


def test_unchanged_resource_is_told_only_when_it_took_long() -> None:
    assert lines(pre("refresh"), out("refresh"), pre("same"), out("same")) == []
    assert lines(pre("refresh", at=100), out("refresh", at=104)) == ["✓ docker:Service local-router refreshed (4 s)"]


def test_failed_resource_is_told() -> None:
    failed = {"timestamp": 1, "resOpFailedEvent": {"metadata": {"op": "create", "urn": SERVICE}}}
    assert lines(pre("create"), failed) == ["✗ docker:Service local-router failed"]


def test_providers_messages_are_told_with_the_resources_name() -> None:
    assert lines(said("info", "step 1\nstep 2\n")) == ["  local-router | step 1", "  local-router | step 2"]
    assert lines(said("warning", "old image")) == ["! docker:Service local-router: old image"]
    assert lines(said("debug", "noise")) == []


def test_passing_message_shows_what_a_resource_is_busy_with() -> None:
    run = Run()
    for event in (pre("create"), said("info", "pulling", ephemeral=True)):
        assert list(run.take(event)) == []
    assert run.running[SERVICE].detail == "pulling"


def test_outputs_leave_secrets_out() -> None:
    run = Run()
    list(run.take(out("update", STACK, "pulumi:pulumi:Stack", outputs={"apiUrl": "u", "apiKey": SECRET})))
    assert run.outputs == {"apiUrl": "u"}


def test_changes_count_what_was_not_left_as_it_was() -> None:
    run = Run()
    list(run.take({"summaryEvent": {"durationSeconds": 3, "resourceChanges": {"same": 9, "create": 2, "update": 0}}}))
    assert run.changed == {"create": 2}
    assert run.seconds == 3


def test_reasons_are_one_line_each_and_leave_the_engines_own_out() -> None:
    run = Run()
    for event in (
        said("error", "port 8080 is taken\n", SERVICE),
        said("error", "port 8080 is taken\n", SERVICE),
        said("error", "dynoform:httpPort: 0 is not a port\n", STACK),
        said("error", "update failed", STACK),
    ):
        list(run.take(event))
    assert reasons(run) == ["docker:Service local-router: port 8080 is taken", "dynoform:httpPort: 0 is not a port"]


def test_what_pulumi_puts_before_an_error_is_left_out() -> None:
    assert one_line("1 error occurred:\n\t* build of shop: failed\n\n") == "build of shop: failed"


def test_traceback_becomes_its_last_line() -> None:
    text = 'Traceback (most recent call last):\n  File "__main__.py", line 5, in <module>\n    x()\nValueError: no'
    assert one_line(text) == 'ValueError: no (File "__main__.py", line 5, in <module>)'


def test_file_is_read_by_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "events"
    tail = Tail(file)
    assert list(tail.fresh()) == []
    file.write_text('{"a": 1}\n{"b"', encoding="utf-8")
    assert list(tail.fresh()) == [{"a": 1}]
    file.write_text('{"a": 1}\n{"b": 2}\n', encoding="utf-8")
    assert list(tail.fresh()) == [{"b": 2}]


def test_policies_that_are_not_kept_to_are_reasons_and_advice_is_told() -> None:
    run = Run()
    message = "\x1b[31mhost a:\ntoo large\x1b[0m\n"
    violation = {"policyName": "sizes", "message": message, "enforcementLevel": "mandatory"}
    advice = {"policyName": "zones", "message": "one is few", "enforcementLevel": "advisory"}
    told = [progress.text for each in (violation, advice) for progress in run.take({"policyEvent": each})]
    assert reasons(run) == ["policy sizes: host a: too large"]
    assert told == ["! policy zones: one is few"]

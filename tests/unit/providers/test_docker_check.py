"""Check: the recorded texts for what is wrong, and the defaults for what is missing."""

from typing import Any

import pytest

from providers.docker.check import check
from providers.docker.errors import ConversionError
from providers.docker.image_build import BUILD, NOT_SERVED
from providers.docker.naming import named
from providers.docker.remote_image import RemoteImage
from providers.docker.resource import Resource
from providers.docker.secret import Secret
from providers.docker.service import Service
from providers.docker.service_config import ServiceConfig
from providers.docker.unknown import UNKNOWN
from providers.docker.volume import Volume
from tests.unit.providers.docker_programs import SERVICE, inputs, merged

C = "taskSpec.containerSpec."


def _twice(text: str) -> str:
    return f"{text}. {text}"


# path, value, text, path in the text
FAILURES: list[tuple[str, Any, str, str]] = [
    (
        C + "image",
        None,
        'Missing required argument. The argument "task_spec.0.container_spec.0.image" is required, '
        "but no definition was found.",
        C + "image",
    ),
    ("bogus", 1, "Invalid or unknown key", "bogus"),
    (C + "bogus", 1, "Invalid or unknown key", C + "bogus"),
    ("endpointSpec.mode", "bad", _twice("'bad' doesn't match the pattern '^(vip|dnsrr)$'"), "endpointSpec.mode"),
    (C + "stopGracePeriod", "10", _twice("'10' is not a valid duration"), C + "stopGracePeriod"),
    ("mode.replicated.replicas", -1, _twice("'-1' cannot be lower than 0"), "mode.replicated.replicas"),
    (
        "updateConfig.maxFailureRatio",
        "2",
        _twice("'2' has to be between 0.0 and 1.0"),
        "updateConfig.maxFailureRatio",
    ),
    ("updateConfig.maxFailureRatio", "x", _twice("'x' is not a float"), "updateConfig.maxFailureRatio"),
    (
        C + "init",
        "maybe",
        "cannot parse '' as bool: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        C + "init",
    ),
    (C + "env", ["A=1"], "Attribute must be a map", C + "env"),
    (C + "commands", {"a": "b"}, "Attribute must be a single value, not a map", C + "commands"),
    (
        C + "dnsConfig",
        {},
        'Missing required argument. The argument "task_spec.0.container_spec.0.dns_config.0.nameservers" is required, '
        "but no definition was found.",
        C + "dnsConfig.nameservers",
    ),
]


@pytest.mark.parametrize(("path", "value", "text", "place"), FAILURES)
def test_what_is_wrong_is_said_in_the_official_words(path: str, value: Any, text: str, place: str) -> None:
    assert check(Service.schema, merged(SERVICE, path, value), "web").failures == [
        f"{text}. Examine values at 'web.{place}'."
    ]


def test_modes_that_exclude_each_other_are_both_named() -> None:
    both = merged(SERVICE, "mode", {"global": True, "replicated": {"replicas": 1}})
    assert check(Service.schema, both, "web").failures == [
        'Conflicting configuration arguments. "mode.0.global": conflicts with mode.0.replicated. '
        "Examine values at 'web.mode.global'.",
        'Conflicting configuration arguments. "mode.0.replicated": conflicts with mode.0.global. '
        "Examine values at 'web.mode.replicated'.",
    ]


def test_a_global_service_cannot_be_waited_for() -> None:
    program = merged(merged(SERVICE, "mode", {"global": True}), "convergeConfig", {})
    assert len(check(Service.schema, program, "web").failures) == 2


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (
            {"data": "YQ==", "dataRaw": "a"},
            '"data": only one of `data,data_raw` can be specified, but',
        ),
        ({}, '"data": one of `data,data_raw` must be specified'),
    ],
)
def test_a_config_has_its_data_once(program: dict[str, Any], text: str) -> None:
    failures = check(ServiceConfig.schema, program, "c").failures
    assert failures[0].startswith(f"Invalid combination of arguments. {text}")
    assert len(failures) == 2


def test_bad_base64_of_a_secret_is_refused_without_showing_it() -> None:
    (failure,) = check(Secret.schema, {"data": "hunter2!"}, "s").failures
    assert "is not base64 decodeable" in failure
    assert "hunter2" not in failure


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("mode.replicated.replicas", "x", 'replicas: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            "taskSpec.resources.limits.memoryBytes",
            "64m",
            'memory_bytes: strconv.ParseInt: parsing "64m": invalid syntax',
        ),
    ],
)
def test_what_is_no_number_is_an_error_of_the_call(path: str, value: str, text: str) -> None:
    with pytest.raises(ConversionError) as raised:
        check(Service.schema, merged(SERVICE, path, value), "web")
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("path", "value", "taken"),
    [
        (C + "user", 5, "5"),
        (C + "user", True, "true"),
        (C + "init", "true", True),
        ("mode.replicated.replicas", "2", 2),
        ("mode.replicated.replicas", 1.5, 1),
        (C + "env", {"A": 1}, {"A": "1"}),
        (C + "image", UNKNOWN, UNKNOWN),
        ("taskSpec.resources.limits.memoryBytes", -1, -1),
        ("endpointSpec.ports", [{"targetPort": 99999}], None),
    ],
)
def test_values_that_can_be_converted_pass(path: str, value: Any, taken: Any) -> None:
    found: Any = inputs(Service(), merged(SERVICE, path, value))
    for step in path.split("."):
        found = found[step]
    assert taken is None or found == taken


def test_a_single_text_stands_for_a_list_with_a_warning() -> None:
    checked = check(Service.schema, merged(SERVICE, C + "commands", "sleep"), "web")
    assert checked.values["taskSpec"]["containerSpec"]["commands"] == ["sleep"]
    assert "Type checking failed" in checked.warnings[0]


DEFAULTS: list[tuple[str, Any, Any]] = [
    (C + "isolation", None, "default"),
    ("mode.replicated", {}, {"replicas": 1}),
    (
        "endpointSpec.ports",
        [{"targetPort": 80}],
        [{"targetPort": 80, "protocol": "tcp", "publishMode": "ingress"}],
    ),
    (
        "updateConfig",
        {},
        {
            "parallelism": 1,
            "delay": "0s",
            "failureAction": "pause",
            "monitor": "5s",
            "maxFailureRatio": "0.0",
            "order": "stop-first",
        },
    ),
    ("convergeConfig", {}, {"delay": "7s", "timeout": "3m"}),
    (
        C + "healthcheck",
        {"tests": ["CMD", "x"]},
        {"tests": ["CMD", "x"], "interval": "0s", "timeout": "0s", "startPeriod": "0s"},
    ),
    (
        C + "secrets",
        [{"secretId": "i", "fileName": "f"}],
        [{"secretId": "i", "fileName": "f", "fileUid": "0", "fileGid": "0", "fileMode": 292}],
    ),
    ("taskSpec.restartPolicy", {}, {}),
    (C + "mounts", [{"target": "/a", "type": "bind"}], [{"target": "/a", "type": "bind"}]),
]


@pytest.mark.parametrize(("path", "given", "filled"), DEFAULTS)
def test_defaults_are_filled_in(path: str, given: Any, filled: Any) -> None:
    found: Any = inputs(Service(), merged(SERVICE, path, given))
    for step in path.split("."):
        found = found[step]
    assert found == filled


def test_a_missing_name_is_made_up_once_and_kept() -> None:
    first = named({}, {}, "web", b"seed")
    assert first["name"].startswith("web-")
    assert len(first["name"]) == len("web-") + 7
    assert first["__defaults"] == ["name"]
    assert named({}, first, "web", b"other") == first
    assert named({}, {"name": "fixed", "__defaults": []}, "web", b"seed")["name"] == "fixed"
    assert named({}, {}, "web", b"seed") == first
    assert named({}, {}, "web", b"other") != first
    assert named({}, {}, "web", b"seed", "by-rule")["name"] == "by-rule"
    assert named({"name": "given"}, first, "web", b"seed") == {"name": "given", "__defaults": []}


@pytest.mark.parametrize("name", NOT_SERVED)
def test_build_options_that_are_not_served_are_refused_by_name(name: str) -> None:
    program = {"name": "app:1", "build": {"context": ".", name: "x"}}
    (failure,) = check(RemoteImage.schema, program, "app").failures
    assert failure.startswith(f"build.{name}: is not served by this docker plugin. ")
    assert BUILD.fields[name].refused


@pytest.mark.parametrize(
    ("resource", "program", "name"),
    [
        (Volume(), {"cluster": {"group": "g"}}, "cluster"),
        (Service(), merged(SERVICE, C + "privileges.credentialSpec", {"file": "f"}), C + "privileges.credentialSpec"),
    ],
)
def test_other_properties_that_are_not_served_are_refused_by_name(
    resource: Resource, program: dict[str, Any], name: str
) -> None:
    (failure,) = check(resource.schema, program, "x").failures
    assert f"{name}: is not served by this docker plugin" in failure

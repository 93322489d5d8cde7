"""Declared apps: what is called, in which order, and what is left when something fails."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynoform.api import errors as api_errors
from dynoform.domain import builds, releases
from providers.dynoform import app as app_module
from providers.dynoform import platform_api
from providers.dynoform.app import App
from providers.dynoform.archive import compressed_archive, source_hash
from providers.dynoform.certificates import Certificate, CertificateAuthority
from providers.dynoform.engine import Operation
from providers.dynoform.errors import InputError, PartialError, ProviderError
from tests.unit.providers.conftest import Lines
from tests.unit.providers.platform import PAGE, Platform, serve

Values = dict[str, Any]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "node_modules/x").mkdir(parents=True)
    (folder / "node_modules/x/index.js").write_text("made by npm")
    (folder / "Procfile").write_text("web: python app.py\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    return folder


@pytest.fixture
def platform(operation: Operation, tmp_path: Path) -> Iterator[tuple[Platform, str]]:
    authority = CertificateAuthority().create(operation, {"commonName": "Test"})[1]
    wanted = {"commonName": "api", "caCertPem": authority["certPem"], "caKeyPem": authority["keyPem"]}
    leaf = Certificate().create(operation, Certificate().check({**wanted, "dnsNames": ["localhost"]}))[1]
    (tmp_path / "api.pem").write_text(leaf["certPem"] + leaf["keyPem"])
    state = Platform()
    server = serve(state, tmp_path / "api.pem")
    yield state, authority["certPem"]
    server.shutdown()
    server.server_close()


@pytest.fixture
def inputs(platform: tuple[Platform, str], source: Path) -> Values:
    api = {"url": platform[0].url, "caCertPem": platform[1], "token": "key"}
    declared = {"api": api, "name": "sample", "source": str(source), "config": {"A": "1"}}
    return App().check({**declared, "formation": {"web": {"quantity": 2, "size": ""}}})


def test_app_is_created_built_scaled_and_waited_for(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, lines: Lines
) -> None:
    identifier, values = App().create(operation, inputs)
    assert identifier == "id-of-sample"
    assert (values["webUrl"], values["release"]) == ("http://sample.localhost:8080/", 1)
    assert platform[0].config == {"A": "1"}
    assert platform[0].formation["web"]["quantity"] == 2
    assert lines.info == ["-----> Python app detected", "done"]
    with tarfile.open(fileobj=io.BytesIO(platform[0].sources[0])) as archive:
        members = archive.getmembers()
    assert [(member.name, member.mode) for member in members] == [("Procfile", 0o644), ("run.sh", 0o755)]
    assert not App().diff(values, inputs).changed


def test_app_that_is_there_is_adopted(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, lines: Lines
) -> None:
    platform[0].app("sample")
    assert App().create(operation, inputs)[0] == "id-of-sample"
    assert "POST /apps" not in platform[0].calls
    assert lines.info[0] == "adopts the app sample, which is there already"


def test_an_app_with_many_releases_tells_the_newest(
    platform: tuple[Platform, str], inputs: Values, operation: Operation
) -> None:
    platform[0].version = 2 * PAGE
    assert App().create(operation, inputs)[1]["release"] == 2 * PAGE + 1


def test_failed_build_keeps_the_app_and_is_tried_again(
    platform: tuple[Platform, str], inputs: Values, operation: Operation
) -> None:
    platform[0].fails = True
    with pytest.raises(PartialError, match=r"-----> Python app detected / !     No Procfile") as caught:
        App().create(operation, inputs)
    assert caught.value.identifier == "id-of-sample"
    assert "sourceHash" in App().diff(caught.value.outputs, inputs).changed
    platform[0].fails = False
    values = App().update(operation, caught.value.identifier, caught.value.outputs, inputs)
    assert values["release"] == 1


def test_a_release_command_is_shown_and_waited_for(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, lines: Lines
) -> None:
    platform[0].release_command = "failed"
    with pytest.raises(PartialError, match=r"release command of v1: .* / done — mend it") as caught:
        App().create(operation, inputs)
    assert "sourceHash" in App().diff(caught.value.outputs, inputs).changed
    platform[0].release_command = "succeeded"
    App().update(operation, caught.value.identifier, caught.value.outputs, inputs)
    assert lines.info == ["-----> Python app detected", "done"] * 4


def test_limits_and_names_are_the_platforms() -> None:
    assert app_module.BUILD_SECONDS == builds.SECONDS
    assert app_module.PHASE_SECONDS == releases.PHASE_SECONDS
    assert platform_api.SEALED == api_errors.SEALED


def test_silent_build_is_followed_to_its_end_and_no_line_is_shown_twice(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_api, "SILENT_SECONDS", 1.0)
    platform[0].pending = 3
    App().create(operation, inputs)
    assert lines.info == ["-----> Python app detected", "done"]


@pytest.mark.parametrize("breaks", [1, app_module.AGAIN])
def test_output_that_breaks_off_just_as_the_build_ends_is_read_to_its_end(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, lines: Lines, breaks: int
) -> None:
    platform[0].breaks = breaks
    App().create(operation, inputs)
    assert lines.info == ["-----> Python app detected", "done"]


def test_output_that_always_breaks_off_delays_no_app(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, lines: Lines
) -> None:
    platform[0].breaks = 1000
    assert App().create(operation, inputs)[1]["release"] == 1
    assert lines.info == ["-----> Python app detected"]


def test_build_that_never_ends_is_given_up(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_api, "SILENT_SECONDS", 0.1)
    platform[0].pending = 1000
    operation.timeout = 0.5
    with pytest.raises(PartialError, match=r"builds/b1: has not ended in the time .* — see 'bin/dynoform doctor'"):
        App().create(operation, inputs)


def test_changed_config_alone_is_no_build(platform: tuple[Platform, str], inputs: Values, operation: Operation) -> None:
    identifier, values = App().create(operation, inputs)
    news = {**inputs, "config": {"B": "2"}}
    assert App().diff(values, news).changed == {"config"}
    App().update(operation, identifier, values, news)
    assert platform[0].config == {"B": "2"}
    assert len(platform[0].sources) == 1


def test_refresh_finds_changed_formation_config_and_lost_app(
    platform: tuple[Platform, str], inputs: Values, operation: Operation
) -> None:
    identifier, values = App().create(operation, inputs)
    platform[0].formation["web"]["quantity"] = 5
    platform[0].config = {"A": "other", "UNDECLARED": "x"}
    state = App().read(operation, identifier, values)
    assert state is not None
    assert App().diff(state, inputs).changed == {"config", "formation"}
    App().delete(operation, identifier, values)
    App().delete(operation, identifier, values)
    assert App().read(operation, identifier, values) is None


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_refresh_takes_apps_as_they_were_when_the_platform_goes_away(
    platform: tuple[Platform, str],
    inputs: Values,
    operation: Operation,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    answered: int,
) -> None:
    monkeypatch.setattr(app_module, "READ_PATIENCE", 0.0)
    identifier, values = App().create(operation, inputs)
    platform[0].leaves_after = len(platform[0].calls) + answered
    assert App().read(operation, identifier, values) == values
    assert lines.info[-1].startswith("not read: ")


def test_an_app_whose_config_vars_cannot_be_read_is_told_of_before_it_is_built_and_can_be_deleted(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, lines: Lines
) -> None:
    identifier, values = App().create(operation, inputs)
    platform[0].sealed = True
    state = App().read(operation, identifier, values)
    assert state is not None
    assert lines.info[-1].startswith("not read: GET /apps/id-of-sample/config-vars: what is kept of x: ")
    assert App().diff(state, inputs).changed == {"sourceHash"}
    said = (
        r"^GET /apps/id-of-sample/config-vars: what is kept of x: cannot be read — bring it back \(500\) "
        r"— bin/dynoform restore brings a state back, down --purge gives the data up$"
    )
    with pytest.raises(PartialError, match=said) as caught:
        App().update(operation, identifier, state, inputs)
    assert caught.value.outputs["sourceHash"] == ""
    assert len(platform[0].sources) == 1
    App().delete(operation, identifier, caught.value.outputs)
    assert platform[0].apps == {}


def test_platform_that_starts_is_waited_for(
    platform: tuple[Platform, str], inputs: Values, operation: Operation
) -> None:
    platform[0].away = 2
    assert App().create(operation, inputs)[0] == "id-of-sample"


def test_platform_that_never_answers_is_named(
    inputs: Values, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_api, "ANSWER_SECONDS", 0.0)
    inputs["api"]["url"] = "https://localhost:1"
    with pytest.raises(
        ProviderError, match=r"https://localhost:1: the platform's API gives no answer: .*dynoform status"
    ):
        App().create(operation, inputs)


def test_dynos_that_crash_are_named(
    platform: tuple[Platform, str], inputs: Values, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "DYNO_SECONDS", 0.0)
    platform[0].crashes = True
    with pytest.raises(
        PartialError, match=r"web dynos: are not up .*web.1 is crashed, web.2 is crashed — see 'heroku logs'"
    ):
        App().create(operation, inputs)


def test_wrong_key_and_unknown_process_type_are_told(
    platform: tuple[Platform, str], inputs: Values, operation: Operation
) -> None:
    with pytest.raises(ProviderError, match=r"GET /apps/sample: Invalid credentials provided. \(401\)"):
        App().create(operation, {**inputs, "api": {**inputs["api"], "token": "wrong"}})
    with pytest.raises(PartialError, match="formation: 'worker' is not a process type of this app, which has web"):
        App().create(operation, {**inputs, "formation": {"worker": {"quantity": 1}}})


@pytest.mark.parametrize("name", ["x", "Upper", "1digit", "dash-", "a" * 31, "under_score"])
def test_names_that_the_platform_refuses_are_refused_first(inputs: Values, name: str) -> None:
    with pytest.raises(InputError, match=r"name: is .* — use 3 to 30 lower-case letters"):
        App().check({key: value for key, value in inputs.items() if key != "sourceHash"} | {"name": name})


def test_source_hash_depends_on_content_and_mode_only(source: Path, tmp_path: Path) -> None:
    before, archive = source_hash(source), compressed_archive(source)
    os.utime(source / "Procfile", (0, 0))
    (source / "node_modules/x/index.js").write_text("other")
    assert (source_hash(source), compressed_archive(source)) == (before, archive)
    (source / "Procfile").chmod(0o755)
    assert source_hash(source) != before
    with pytest.raises(InputError, match="which is no directory"):
        source_hash(tmp_path / "nothing")

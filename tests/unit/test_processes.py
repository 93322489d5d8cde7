"""What every process has: settings, secrets, a journal, errors, an entry."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from dynoform import __main__ as entry
from dynoform.configuration import Configuration
from dynoform.errors import ConfigurationError, DynoformError
from dynoform.journal import Journal


def test_settings_have_defaults_and_addresses_follow_from_them() -> None:
    local = Configuration.from_environment({})
    assert (local.stack, local.dyno_network, local.listen_addresses) == ("local", "local_dynos", ("127.0.0.1",))
    assert local.api_url == "https://localhost:8443"
    assert local.web_url("myapp") == "http://myapp.localhost:8080/"
    assert local.database_url == "postgresql+psycopg://dynoform@172.29.4.1:5432/dynoform"
    real = Configuration.from_environment(
        {
            "DYNOFORM_DOMAIN": "apps.example.com",
            "DYNOFORM_HTTP_PORT": "80",
            "DYNOFORM_HTTPS_PORT": "443",
            "DYNOFORM_LISTEN_ADDRESS": "127.0.0.1, 172.29.0.1",
        }
    )
    assert real.api_url == "https://api.localhost.apps.example.com"
    assert real.web_url("myapp") == "http://myapp.apps.example.com/"
    assert real.listen_addresses == ("127.0.0.1", "172.29.0.1")


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1", "8443.0"])
def test_a_wrong_port_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_environment({"DYNOFORM_HTTP_PORT": value})
    assert str(caught.value) == f"DYNOFORM_HTTP_PORT: {value!r} is not a port — use a number from 1 to 65535"


def test_a_secret_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    configuration = Configuration.from_environment({"DYNOFORM_SECRETS": str(tmp_path)})
    with pytest.raises(ConfigurationError, match="secret key: cannot be read"):
        configuration.secret("key")
    (tmp_path / "key").write_text(" \n")
    with pytest.raises(ConfigurationError, match="secret key: is empty"):
        configuration.secret("key")
    (tmp_path / "key").write_text("value\n")
    assert configuration.secret("key") == "value"
    assert "value" not in repr(configuration)


def test_an_event_is_one_line_whatever_is_in_it() -> None:
    stream = io.StringIO()
    Journal("api", stream).info("request", path="/apps/a\nb", status=200, none=None, text='say "hi"')
    assert stream.getvalue() == 'info api request path="/apps/a\\nb" status=200 text="say \\"hi\\""\n'
    stream.close()
    Journal("api", stream).error("nobody listens")


def test_a_companion_works_on_whatever_it_fails_of(capsys: pytest.CaptureFixture[str]) -> None:
    failures: list[BaseException] = [KeyError("plan"), DynoformError("store", "is away"), SystemExit(0)]

    def work(configuration: Configuration) -> None:
        raise failures.pop(0)

    with pytest.raises(SystemExit):
        entry._keep(work, Configuration.from_environment({}), Journal("api"))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("error api companion failed kind=KeyError where=")
    assert first.endswith(""" error="'plan'" failures=0""")
    assert second == 'error api companion failed error="store: is away" failures=1'


def test_an_error_is_one_line() -> None:
    assert str(DynoformError("app x", "is\ngone", "make it")) == "app x: is gone — make it"
    assert str(DynoformError("Name is taken")) == "Name is taken"


def test_an_unknown_process_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["nope"], ["api", "api"]):
        assert entry.main(arguments) == 64
    processes = "api|reconcile|builder|router-agent|logplex|runtime-agent|databases"
    assert f"usage: python3 -m dynoform {{{processes}}}" in capsys.readouterr().err


def test_a_process_that_lacks_a_secret_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dynoform", "api"],
        env={"DYNOFORM_SECRETS": str(tmp_path), "PATH": "/usr/bin"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr == ""
    failed = (
        'error api failed error="secret encryption_key: cannot be read (No such file or directory) '
        '— run bin/dynoform up"'
    )
    assert failed in done.stdout.splitlines()


@pytest.mark.parametrize("process", ["builder", "databases", "logplex", "router-agent", "runtime-agent"])
def test_processes_that_stay_small_have_no_object_mapper(process: str) -> None:
    asked = f"import sys, {entry.PROCESSES[process]}; print('sqlalchemy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout == "False\n"

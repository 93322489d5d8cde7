"""``env`` prints lines that a shell can evaluate, and keeps what the user already trusts."""

import json
import shlex
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dynoform.cli import trust
from dynoform.cli.commands import env
from dynoform.cli.stack import Stack
from tests.integration.certificates import Authority

OUTPUTS = {"apiUrl": "https://localhost:8443", "apiKey": "it's secret", "caCertPem": "OURS\n"}


@pytest.fixture
def evaluated(stack: Stack) -> dict[str, str]:
    """The environment of a shell that evaluated the lines, having had variables in the way before."""
    stack.directory.mkdir(parents=True)
    trust.write(stack, OUTPUTS)
    before = {"PATH": "/usr/bin:/bin", "HEROKU_ORGANIZATION": "acme", "PULUMI_CONFIG_PASSPHRASE": "x"}
    text = "\n".join(env.lines(stack, OUTPUTS, {"PATH": "/usr/bin:/bin"}))
    script = f"{text}\nexec /usr/bin/env python3 -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    done = subprocess.run(["/bin/sh", "-euc", script], env=before, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_heroku_finds_the_stack(evaluated: dict[str, str], stack: Stack) -> None:
    expected = {
        "HEROKU_HOST": "https://localhost:8443",
        "HEROKU_DATA_HOST": "localhost",
        "PGDIAGNOSE_URL": "localhost",
        "HEROKU_EXEC_URL": "https://localhost:8443",
        "HEROKU_API_KEY": "it's secret",
        "NODE_EXTRA_CA_CERTS": str(trust.certificate(stack)),
        "DYNOFORM_CA": str(trust.certificate(stack)),
        "DISABLE_TELEMETRY": "true",
    }
    assert {name: evaluated[name] for name in expected} == expected


def test_pulumi_finds_the_stack(evaluated: dict[str, str], stack: Stack) -> None:
    assert evaluated["PULUMI_BACKEND_URL"] == f"file://{stack.places.state}"
    assert evaluated["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(stack.places.passphrase)
    assert evaluated["PATH"] == f"{stack.places.venv}/bin:/usr/bin:/bin"


def test_git_finds_the_stack_and_keeps_what_it_had(stack: Stack) -> None:
    stack.directory.mkdir(parents=True)
    trust.write(stack, OUTPUTS)
    before = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Ann"}
    once = exported(env.lines(stack, OUTPUTS, before))
    assert exported(env.lines(stack, OUTPUTS, once)) == once  # a second time adds nothing
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **once}
    run = {"env": environ, "capture_output": True, "text": True, "check": True}
    assert subprocess.run(["git", "config", "user.name"], **run).stdout == "Ann\n"  # type: ignore[call-overload]
    asked = ["git", "config", "--get-urlmatch", "http.sslCAInfo", "https://localhost:8443/shop.git"]
    assert subprocess.run(asked, **run).stdout == f"{trust.certificate(stack)}\n"  # type: ignore[call-overload]
    wanted = {"input": "protocol=https\nhost=localhost:8443\n\n", **run}
    filled = subprocess.run(["git", "credential", "fill"], **wanted).stdout  # type: ignore[call-overload]
    assert filled.splitlines()[2:] == ["username=heroku", "password=it's secret"]


def test_git_trusts_the_stack_and_whom_its_user_made_it_trust(stack: Stack, tmp_path: Path) -> None:
    """Theirs is in ``GIT_SSL_CAINFO``, beside which git reads no setting."""
    ours, theirs, company = Authority(), Authority(), tmp_path / "company.pem"
    company.write_bytes(theirs.pem)
    stack.directory.mkdir(parents=True)
    before = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_SSL_CAINFO": str(company), "LANG": "C"}
    with serving(ours, tmp_path / "ours") as api, serving(theirs, tmp_path / "theirs") as other:
        outputs = {**OUTPUTS, "apiUrl": api, "caCertPem": ours.pem.decode()}
        trust.write(stack, outputs)
        lines = env.lines(stack, outputs, before)
        again = env.lines(stack, outputs, {**exported(lines)})
        for text in ("\n".join(lines), "\n".join([*lines, *again])):
            for url in (api, other):
                script = f"{text}\nexec git ls-remote {url}/shop.git"
                asked = subprocess.run(["/bin/sh", "-euc", script], env=before, capture_output=True, text=True)
                assert f"fatal: repository '{url}/shop.git/' not found" in asked.stderr


@contextmanager
def serving(authority: Authority, folder: Path) -> Iterator[str]:
    """The https address of a server that has nothing."""
    certificate, key = authority.issue("localhost", "127.0.0.1")
    folder.mkdir()
    (folder / "pair.pem").write_bytes(certificate + key)
    server = HTTPServer(("127.0.0.1", 0), Nothing)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


class Nothing(BaseHTTPRequestHandler):
    """Answers 404."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def exported(lines: list[str]) -> dict[str, str]:
    """The variables that the lines set."""
    words = [shlex.split(line)[1] for line in lines if line.startswith("export ")]
    return dict(word.split("=", 1) for word in words)


def test_what_is_in_the_way_is_removed(evaluated: dict[str, str]) -> None:
    assert "HEROKU_ORGANIZATION" not in evaluated
    assert "PULUMI_CONFIG_PASSPHRASE" not in evaluated


def test_proxy_is_kept_away_from_this_machine(stack: Stack) -> None:
    stack.directory.mkdir(parents=True)
    trust.write(stack, OUTPUTS)
    lines = env.lines(stack, OUTPUTS, {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "intra,localhost"})
    assert "export NO_PROXY=intra,localhost,127.0.0.1" in lines
    assert not any("NO_PROXY" in line for line in env.lines(stack, OUTPUTS, {}))


def test_certificates_that_the_user_trusts_stay_trusted(stack: Stack, tmp_path: Path) -> None:
    stack.directory.mkdir(parents=True)
    trust.write(stack, OUTPUTS)
    theirs = tmp_path / "company.pem"
    theirs.write_text("THEIRS\n", encoding="utf-8")
    bundle = trust.combined(stack, str(theirs))
    assert bundle.read_text(encoding="utf-8") == "THEIRS\nOURS\n"
    assert trust.combined(stack, str(bundle)) == bundle
    assert bundle.read_text(encoding="utf-8") == "THEIRS\nOURS\n"
    assert trust.combined(stack, str(tmp_path / "gone")) == trust.certificate(stack)


def test_a_stack_with_a_certificate_of_the_operators_hands_out_no_authority(stack: Stack, tmp_path: Path) -> None:
    stack.directory.mkdir(parents=True)
    trust.write(stack, OUTPUTS)
    ours = exported(env.lines(stack, OUTPUTS, {}))
    outputs = {**OUTPUTS, "apiUrl": "https://api.localhost.apps.example", "apiTrust": "brought"}
    lines = env.lines(stack, outputs, ours)
    found = exported(lines)
    assert not {"NODE_EXTRA_CA_CERTS", "DYNOFORM_CA"} & set(found)
    assert {"NODE_EXTRA_CA_CERTS", "DYNOFORM_CA"} <= set(lines[-1].split())
    assert not [name for name in found.values() if name.startswith("http.https://api.localhost.apps.example")]
    assert found["HEROKU_HOST"] == "https://api.localhost.apps.example"
    kept = {"NODE_EXTRA_CA_CERTS": str(tmp_path / "company.pem")}
    assert exported(env.lines(stack, outputs, kept))["NODE_EXTRA_CA_CERTS"] == kept["NODE_EXTRA_CA_CERTS"]
    assert trust.needed(stack, outputs) is None
    assert trust.needed(stack, OUTPUTS) == trust.certificate(stack)

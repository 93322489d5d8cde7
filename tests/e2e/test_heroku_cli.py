"""The real Heroku CLI and git on the running platform: what needs dynos, and shows what the commands do to them."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynoform.domain.dyno_sizes import find
from tests.e2e.conftest import ROOT, Platform, eventually
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI
from tests.postgres import free_port

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "cli-test"
PAGE = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"Hello from an image\\n")
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
"""


@pytest.fixture(scope="module")
def checkout(cli: HerokuCLI, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the Python sample, committed on ``main``."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples/apps/python", folder, dirs_exist_ok=True)
    git(cli, folder, "init", "--quiet", "--initial-branch=main")
    git(cli, folder, "config", "user.name", "Ann")
    git(cli, folder, "config", "user.email", "ann@example.com")
    commit(cli, folder, "First")
    return folder


@pytest.fixture(scope="module")
def push(cli: HerokuCLI, checkout: Path, platform: Platform) -> Iterator[str]:
    """What the pusher sees of the first push; the app is there, and serves, for the rest of the module."""
    cli(f"create {APP}", cwd=checkout)
    yield git(cli, checkout, "push", "heroku", "main")
    cli(f"apps:destroy -a {APP} --confirm {APP}")


@pytest.fixture
def heroku(cli: HerokuCLI, push: str, platform: Platform) -> HerokuCLI:
    """The CLI, with ``cli-test`` deployed and up."""
    eventually(lambda: platform.serves(APP), 60, f"{APP} answers")
    cli.ran.clear()
    return cli


def git(cli: HerokuCLI, folder: Path, *words: str, **more: str) -> str:
    """Run git as the CLI's user, who types no password; its output and messages. ``more`` are further variables."""
    variables = {**cli.variables(), "GIT_TERMINAL_PROMPT": "0", **more}
    done = subprocess.run(["git", *words], cwd=folder, env=variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"git {words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def commit(cli: HerokuCLI, folder: Path, message: str) -> str:
    """Commit all changes; the commit's id."""
    git(cli, folder, "add", "--all")
    git(cli, folder, "commit", "--quiet", "--message", message)
    return git(cli, folder, "rev-parse", "HEAD").strip()


def get(connection: socket.socket) -> bytes:
    """The answer to a request over a connection, to its end."""
    connection.settimeout(20)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return b"".join(iter(lambda: connection.recv(65536), b""))


def states(platform: Platform, kind: str = "web") -> dict[str, str]:
    """The state of each dyno of a process type."""
    return {dyno["name"]: dyno["state"] for dyno in platform.dynos(APP) if dyno["type"] == kind}


def release_of(platform: Platform) -> dict[str, object]:
    """The newest release."""
    newest: dict[str, object] = platform.api.get(f"/apps/{APP}/releases").json()[-1]
    return newest


def current_release(platform: Platform) -> dict[str, object]:
    """The release that serves, with its slug's commit."""
    (found,) = [each for each in platform.api.get(f"/apps/{APP}/releases").json() if each["current"]]
    slug = platform.api.get(f"/apps/{APP}/slugs/{found['slug']['id']}").json()
    return {"version": found["version"], "slug_commit": slug["commit"]}


def test_push_builds_while_one_watches_and_releases(
    cli: HerokuCLI, push: str, checkout: Path, platform: Platform
) -> None:
    assert "remote: -----> " in push
    assert re.search(r"remote: +Released v\d+", push)
    assert re.search(r"remote: Verifying deploy\.+ done\.", push)
    head = git(cli, checkout, "rev-parse", "HEAD").strip()
    assert release_of(platform)["description"] == f"Deploy {head[:8]}"
    eventually(lambda: platform.serves(APP), 60, f"{APP} answers")


def test_refused_push_keeps_what_serves(heroku: HerokuCLI, checkout: Path, platform: Platform) -> None:
    before = release_of(platform)
    (checkout / "requirements.txt").write_text("no-such-package-of-anyone==9.9\n")
    commit(heroku, checkout, "Break it")
    with pytest.raises(AssertionError, match="Push rejected, failed to compile Python app"):
        git(heroku, checkout, "push", "heroku", "main")
    git(heroku, checkout, "reset", "--quiet", "--hard", "HEAD~1")
    assert release_of(platform) == before
    assert platform.serves(APP)


def test_another_branch_is_taken_without_a_build(heroku: HerokuCLI, checkout: Path, platform: Platform) -> None:
    """Without the helper of ``bin/dynoform env``: here it is the CLI that gives the token to git."""
    before = release_of(platform)
    bare = {"GIT_CONFIG_COUNT": "0", "GIT_SSL_CAINFO": platform.environment["DYNOFORM_CA"]}
    pushed = git(heroku, checkout, "push", "heroku", "main:topic", **bare)
    assert "skipping build" in pushed
    assert "[new branch]" in pushed
    assert release_of(platform) == before


@covers("ps -a myapp")
def test_ps_shows_what_runs(heroku: HerokuCLI, platform: Platform) -> None:
    eventually(lambda: states(platform) == {"web.1": "up"}, 60, "one dyno, up")
    assert "web.1: up " in heroku(f"ps -a {APP}").out


@covers("ps:scale web=2 -a myapp", "ps:wait -a myapp --with-run")
def test_scale_starts_and_stops_dynos(heroku: HerokuCLI, platform: Platform) -> None:
    heroku(f"ps:scale web=2 -a {APP}")
    eventually(lambda: states(platform) == {"web.1": "up", "web.2": "up"}, 60, "two dynos, up")
    heroku(f"ps:wait -a {APP} --with-run")
    assert len(platform.containers(APP)) == 2
    heroku(f"ps:scale web=1 -a {APP}")
    assert eventually(lambda: platform.only_dyno(APP), 60, "one container")


@covers("ps:restart -a myapp --dyno-name web.1")
def test_restart_replaces_the_dyno(heroku: HerokuCLI, platform: Platform) -> None:
    before = eventually(lambda: platform.only_dyno(APP), 60, "one container")
    heroku(f"ps:restart -a {APP} --dyno-name web.1")

    def replaced() -> bool:
        now = platform.only_dyno(APP)
        return now is not None and now.id != before.id

    eventually(replaced, 60, "another container")
    eventually(lambda: states(platform) == {"web.1": "up"}, 60, "the dyno, up")


@covers("run -a myapp echo hello")
def test_run_shows_what_the_command_says(heroku: HerokuCLI) -> None:
    assert "hello" in heroku(f"run -a {APP} echo hello").out.splitlines()


@covers("run -a myapp --exit-code -- true", 'run -a myapp --exit-code -- bash -c "exit 3"')
def test_run_hands_on_the_exit_code(heroku: HerokuCLI) -> None:
    heroku(f"run -a {APP} --exit-code -- true")
    heroku(f'run -a {APP} --exit-code -- bash -c "exit 3"', code=3)


@covers("run -a myapp --no-tty --size standard-2x --type worker -e K=V cat")
def test_run_takes_input_size_type_and_variables(heroku: HerokuCLI) -> None:
    options = f"-a {APP} --no-tty --size standard-2x --type worker -e K=V"
    typed = heroku(f"run {options} cat", stdin="one\ntwo ✓\n")
    assert typed.out == "one\ntwo ✓\n"
    variables = heroku(f"run {options} env").out.splitlines()
    assert "K=V" in variables
    assert any(re.fullmatch(r"DYNO=worker\.\d+", line) for line in variables)
    limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
    assert heroku(f"run {options} '{limit}'").out.split() == [str(find("standard-2x").kill_mb * 1024 * 1024)]


@covers("run:detached -a myapp sleep 1")
def test_run_detached_leaves_a_dyno_running(heroku: HerokuCLI, platform: Platform) -> None:
    told = re.search(r"\brun\.\d+\b", heroku(f"run:detached -a {APP} sleep 600").text)
    assert told is not None
    name = told[0]
    eventually(lambda: states(platform, "run").get(name) == "up", 60, "run dyno")
    heroku(f"ps:stop -a {APP} --dyno-name {name}")
    eventually(lambda: name not in states(platform, "run"), 60, "the dyno is gone")


@covers("run:inside web.1 bash -a firapp")
def test_run_inside_is_in_the_dyno(heroku: HerokuCLI, platform: Platform) -> None:
    eventually(lambda: states(platform) == {"web.1": "up"}, 60, "one dyno, up")
    assert "DYNO=web.1" in heroku(f"run:inside web.1 env -a {APP}").out.splitlines()


@covers("ps:exec -a myapp -- ls")
def test_exec_is_in_the_dyno_which_goes_on(heroku: HerokuCLI, platform: Platform) -> None:
    before = eventually(lambda: platform.only_dyno(APP), 60, "one container")
    ran = heroku(f"ps:exec -a {APP} -- ls", stdin=None)
    assert "Procfile" in ran.out.split()
    assert "dyno restart" not in ran.text
    variables = heroku(f"ps:exec -a {APP} --dyno web.1 -- env", stdin=None).out.splitlines()
    assert {"DYNO=web.1", "PORT=5000"} <= set(variables)
    assert ["web.1", "up", "running"] in heroku(f"ps:exec -a {APP} --status").table
    assert platform.only_dyno(APP).id == before.id
    assert "Could not connect to dyno!" in heroku(f"ps:exec -a {APP} --dyno web.9 -- ls", code=2).text


def test_exec_without_a_command_is_a_shell(heroku: HerokuCLI) -> None:
    typed = heroku(f"ps:exec -a {APP}", stdin='echo "$((6*7)) in $DYNO"; (exit 3); echo "status $?"\n')
    assert {"42 in web.1", "status 3"} <= set(typed.out.splitlines())


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh: install the Debian package openssh-client")
def test_exec_by_the_systems_own_ssh(heroku: HerokuCLI) -> None:
    assert heroku(f"ps:exec -a {APP} --ssh -- printenv DYNO").out == "web.1\n"


def test_copy_gets_a_file_of_the_dyno(heroku: HerokuCLI, tmp_path: Path) -> None:
    heroku(f"ps:exec -a {APP} -- dd if=/dev/zero of=/tmp/dump bs=1M count=2", stdin=None)
    heroku(f"ps:copy Procfile -a {APP}", cwd=tmp_path)
    heroku(f"ps:copy /tmp/dump -a {APP} --output copied", cwd=tmp_path)
    assert (tmp_path / "Procfile").read_text() == (ROOT / "examples/apps/python/Procfile").read_text()
    assert (tmp_path / "copied").read_bytes() == bytes(2 << 20)
    assert "Could not" in heroku(f"ps:copy nothing -a {APP}", cwd=tmp_path, code=2).text


def test_forward_and_socks_reach_the_dynos_ports(heroku: HerokuCLI) -> None:
    port, answers = free_port(), list[bytes]()

    def forwarded(seen: str) -> bool:
        if "to stop port forwarding" in seen and not answers:
            with socket.create_connection(("127.0.0.1", port), 20) as connection:
                answers.append(get(connection))
        return bool(answers)

    def proxied(seen: str) -> bool:
        if "to stop the proxy" in seen and len(answers) == 1:
            with socket.create_connection(("127.0.0.1", 1080), 20) as connection:
                connection.sendall(b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\x00\x00\x01" + (5000).to_bytes(2))
                assert connection.recv(2, socket.MSG_WAITALL) == b"\x05\x00"
                assert connection.recv(10, socket.MSG_WAITALL)[:2] == b"\x05\x00"
                answers.append(get(connection))
        return len(answers) == 2

    heroku.until(f"ps:forward {port}:5000 -a {APP}", forwarded)
    heroku.until(f"ps:socks -a {APP}", proxied)
    assert all(answer.startswith(b"HTTP/1") and b" 200 " in answer.splitlines()[0] for answer in answers)


@covers("logs -a myapp", "logs -a myapp --dyno-name web.1 -n 5 -s app")
def test_logs_have_lines_of_dyno_and_router(heroku: HerokuCLI, platform: Platform) -> None:
    platform.app(APP, "/?marker=of-this-test")
    eventually(lambda: "marker=of-this-test" in heroku(f"logs -a {APP}").out, 60, "the request in the log")
    lines = heroku(f"logs -a {APP} --dyno-name web.1 -n 5 -s app").out.splitlines()
    assert 0 < len(lines) <= 5
    assert all(" app[web.1]: " in line for line in lines)


@covers("logs -a myapp --tail")
def test_logs_go_on_with_tail(heroku: HerokuCLI, platform: Platform) -> None:
    asked: list[str] = []

    def enough(seen: str) -> bool:
        if not asked and seen:
            asked.append(platform.app(APP, "/?marker=while-it-tails").text)
        return "marker=while-it-tails" in seen

    heroku.until(f"logs -a {APP} --tail", enough)


def test_failed_release_command_refuses_the_push_and_keeps_what_serves(
    heroku: HerokuCLI, checkout: Path, platform: Platform
) -> None:
    # The last one here: with a failed release as the newest, ps:wait waits for ever, as it does on Heroku.
    served = current_release(platform)
    with (checkout / "Procfile").open("a", encoding="utf-8") as procfile:
        procfile.write("release: echo no such table; exit 3\n")
    commit(heroku, checkout, "Migrate")
    said = r"(?s)no such table.*Waiting for release\.\.\.\. failed\..*Push rejected to cli-test"
    with pytest.raises(AssertionError, match=said):
        git(heroku, checkout, "push", "heroku", "main")
    git(heroku, checkout, "reset", "--quiet", "--hard", "HEAD~1")
    assert git(heroku, checkout, "ls-remote", "heroku", "main").split()[0] == served["slug_commit"]
    assert (release_of(platform)["status"], current_release(platform)) == ("failed", served)
    assert platform.serves(APP)


def test_an_app_is_built_of_its_dockerfile_when_its_stack_is_set(
    heroku: HerokuCLI, checkout: Path, platform: Platform
) -> None:
    name = f"{APP}-images"
    heroku(f"create {name} --no-remote")
    try:
        heroku(f"stack:set container -a {name}")
        (checkout / "heroku.yml").write_text("build: {docker: {web: Dockerfile}}\nrun: {web: exec python3 page.py}\n")
        (checkout / "Dockerfile").write_text("FROM dynoform-13\nWORKDIR /srv\nCOPY page.py .\n")
        (checkout / "page.py").write_text(PAGE)
        commit(heroku, checkout, "Build images")
        pushed = git(heroku, checkout, "push", f"https://localhost:18443/{name}.git", "main")
        assert "remote: === Building web (Dockerfile)" in pushed
        assert re.search(r"remote: +Released v\d+", pushed)
        eventually(lambda: platform.app(name).text == "Hello from an image\n", 60, f"{name} answers")
        shown = heroku(f"stack -a {name}").text
        assert "* container" in shown
    finally:
        heroku(f"apps:destroy -a {name} --confirm {name}")
        git(heroku, checkout, "reset", "--quiet", "--hard", "HEAD~1")

"""The platform as its users have it, in the order of its life; the last tests take it down."""

import io
import json
import os
import re
import signal
import subprocess
import tarfile
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import testinfra

from dynoform.cli.places import Places
from dynoform.cli.stack import Stack
from tests.e2e.conftest import LABEL, ROOT, STACK, Platform, Run, dynoform, eventually

pytestmark = [pytest.mark.engine, pytest.mark.timeout(2400)]
BROKEN = ROOT / "examples/apps/broken"
NET_BIND_SERVICE = 1 << 10
"""CAP_NET_BIND_SERVICE, as a bit of /proc/PID/status."""


def tarball(directory: Path) -> bytes:
    """The directory as a gzipped tarball, its files at the top."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(directory, arcname=".")
    return buffer.getvalue()


def build(platform: Platform, app: str, source: Path) -> tuple[dict[str, Any], str]:
    """Upload and build a source; the finished build and its output."""
    blob = platform.api.post("/sources").json()["source_blob"]
    platform.api.put(blob["put_url"], content=tarball(source)).raise_for_status()
    started = platform.api.post(f"/apps/{app}/builds", json={"source_blob": {"url": blob["get_url"]}})
    assert started.status_code == 201, started.text
    output = platform.api.get(started.json()["output_stream_url"], timeout=120).text
    finished = platform.api.get(f"/apps/{app}/builds/{started.json()['id']}").json()
    return finished, output


def test_up_tells_where_apps_and_api_are(first_up: Run) -> None:
    for words in (
        "http://python.localhost:18080",
        "http://node.localhost:18080",
        "https://localhost:18443",
        "bin/dynoform env",
    ):
        assert words in first_up.out


@pytest.mark.parametrize("app", ["python", "node"])
def test_sample_app_answers_over_http_and_https(platform: Platform, app: str) -> None:
    assert eventually(lambda: platform.serves(app), 30, f"{app} answers")
    assert platform.app(app, secure=True).status_code == 200


def test_config_var_reaches_the_dyno(platform: Platform) -> None:
    assert "Hello from the tests" in platform.app("python").text


def test_second_up_changes_nothing(platform: Platform) -> None:
    again = dynoform("up", "--stack", STACK, "--yes")
    assert again.code == 0, again.err
    assert "no changes" in again.err, again.err


def test_refresh_finds_nothing_that_is_not_as_declared_even_after_a_create_that_was_killed(platform: Platform) -> None:
    # As the state is when `up` was killed after the engine had made the service, and before it had said so.
    file = Stack.of(STACK, Places.from_environment(), os.environ).state_file
    assert file is not None
    state = json.loads(file.read_text())
    state["checkpoint"]["latest"] = unfinished(state["checkpoint"]["latest"], "test-logplex-service")
    file.write_text(json.dumps(state))
    before = platform.engine.services.get(f"{STACK}_logplex").id
    again = dynoform("up", "--stack", STACK, "--yes", "--refresh")
    assert again.code == 0, again.err
    assert "creates that a killed run had begun: 1, of which 1 happened and are kept" in again.err
    assert "no changes" in again.err, again.err
    assert platform.engine.services.get(f"{STACK}_logplex").id == before


def unfinished(state: dict[str, Any], name: str) -> dict[str, Any]:
    """The state with the resource called ``name`` still being created."""
    (made,) = (one for one in state["resources"] if one["urn"].endswith(f"::{name}"))
    begun = {key: value for key, value in made.items() if key not in {"id", "outputs", "created", "modified"}}
    rest = [one for one in state["resources"] if one is not made]
    return {**state, "resources": rest, "pending_operations": [{"type": "creating", "resource": begun}]}


def test_secrets_are_clear_neither_in_the_state_nor_in_the_logs(platform: Platform) -> None:
    stack = Stack.of(STACK, Places.from_environment(), os.environ)
    files = [stack.state_file, *(file for file in (stack.directory / "logs").rglob("*") if file.is_file())]
    assert len(files) > 1
    for file in files:
        assert file is not None
        text = file.read_text(errors="replace")
        assert "PRIVATE KEY-----" not in text, file
        assert platform.environment["HEROKU_API_KEY"] not in text, file


@pytest.mark.parametrize(
    ("noun", "user", "capabilities", "listens"),
    [
        ("api", "802", 0, 8000),
        ("registry", "801", 0, 5000),
        ("postgres", "800", 0, 5432),
        ("router", "990", NET_BIND_SERVICE, 18443),
    ],
)
def test_service_runs_unprivileged_on_a_read_only_root(
    platform: Platform, noun: str, user: str, capabilities: int, listens: int
) -> None:
    (container,) = platform.engine.containers.list(
        filters={"label": f"com.docker.swarm.service.name={STACK}_{noun}", "status": "running"}
    )
    inside = testinfra.get_host(f"docker://{container.id}")
    assert inside.run("id -u").stdout.strip() == user
    assert container.attrs["HostConfig"]["ReadonlyRootfs"]
    assert int(inside.run("grep CapEff /proc/1/status").stdout.split()[1], 16) == capabilities
    listening = {int(line.split()[1].rpartition(":")[2], 16) for line in listeners(inside)}
    assert listens in listening


def listeners(inside: Any) -> list[str]:
    """Lines of the kernel's tables for sockets that listen, of IPv4 and IPv6."""
    lines = inside.run("cat /proc/net/tcp /proc/net/tcp6").stdout.splitlines()
    return [line for line in lines if line.split()[3] == "0A"]


def test_first_release_is_in_the_users_name(platform: Platform) -> None:
    releases = platform.api.get("/apps/python/releases").json()
    assert releases[-1]["version"] >= 1
    assert releases[-1]["current"] is True
    assert releases[-1]["user"]["email"] == "operator@localhost"


def test_log_has_app_router_and_system_lines(platform: Platform) -> None:
    # 1,500 lines are kept: what the first dyno's start said may be no more of them.
    platform.api.delete("/apps/python/dynos").raise_for_status()
    up = r"heroku\[web\.1\]: State changed from starting to up"
    eventually(lambda: re.search(up, log(platform)), 60, "a dyno's start in the log")
    marked = "/?marker=log-test"
    eventually(lambda: platform.app("python", marked).status_code == 200, 30, "python answers")
    pattern = {
        "router": r"heroku\[router\]: at=info method=GET path=\"/\?marker=log-test\"",
        "system": r"heroku\[web\.1\]: State changed from starting to up",
        "app": r"app\[web\.1\]: ",
    }
    for kind, expression in pattern.items():
        eventually(lambda e=expression: re.search(e, log(platform)), 60, f"{kind} line in the log")  # type: ignore[misc]


def test_what_a_router_answers_itself_is_in_the_log_and_may_be_a_page_of_the_apps_own(platform: Platform) -> None:
    platform.api.post("/apps", json={"name": "blank"}).raise_for_status()
    eventually(lambda: router_line(platform, "blank", 502, "info", "H81", "Blank app"), 60, "a line of the blank app")
    page = "https://pages.example/soon.html"
    for vars_ in ({"MAINTENANCE_PAGE_URL": page}, {"ERROR_PAGE_URL": page}):
        platform.api.patch("/apps/blank/config-vars", json=vars_).raise_for_status()
    platform.api.patch("/apps/blank", json={"maintenance": True}).raise_for_status()
    eventually(lambda: router_line(platform, "blank", 503, "info", "H80", "Maintenance mode"), 60, "of maintenance")
    eventually(lambda: f'src="{page}"' in platform.app("blank").text, 30, "the app's own page")
    platform.api.delete("/apps/blank").raise_for_status()
    web = "/apps/node/formation/web"
    platform.api.patch(web, json={"quantity": 0}).raise_for_status()
    eventually(lambda: router_line(platform, "node", 503, "error", "H14", "No web processes running"), 60, "of no dyno")
    platform.api.patch(web, json={"quantity": 1}).raise_for_status()
    assert eventually(lambda: platform.serves("node"), 60, "node answers again")


def router_line(platform: Platform, app: str, status: int, at: str, code: str, desc: str) -> bool:
    """Whether a request gets this status, and its whole line in the app's log is as it should be."""
    path = f"/?{uuid.uuid4()}"
    if platform.app(app, path).status_code != status:
        return False
    line = (
        rf' heroku\[router\]: at={at} code={code} desc="{desc}" method=GET path="{re.escape(path)}" '
        rf'host={app}\.localhost request_id=[0-9a-f-]{{36}} fwd="127\.0\.0\.1" dyno= connect= service= '
        rf"status={status} bytes= protocol=http tls=false$"
    )
    # Another reason may have the same status, for a moment: then it is asked again.
    whole = re.compile(rf"^.*{re.escape(path)}.*$", re.MULTILINE)
    found = eventually(lambda: whole.search(log(platform, app)), 60, f"the request in the log of {app}")
    return bool(re.search(line, found[0]))


def log(platform: Platform, app: str = "python") -> str:
    """An app's log."""
    session = platform.api.post(f"/apps/{app}/log-sessions", json={"lines": 500, "tail": False}).raise_for_status()
    return platform.api.get(session.json()["logplex_url"]).raise_for_status().text


def test_killed_process_is_replaced(platform: Platform) -> None:
    container = eventually(lambda: platform.only_dyno("node"), 60, "one dyno")
    container.kill(signal="SIGKILL")
    eventually(lambda: [c for c in platform.containers("node") if c.id != container.id], 30, "a new dyno")
    eventually(lambda: platform.serves("node"), 30, "node answers again")


def test_removed_dyno_service_is_mended_by_the_reconciler(platform: Platform) -> None:
    app_id = platform.api.get("/apps/node").json()["id"]
    eventually(lambda: platform.only_dyno("node"), 60, "one dyno")

    def services() -> list[Any]:
        return list(platform.engine.services.list(filters={"label": f"dynoform.app={app_id}"}))

    def only_one() -> Any:
        """Once that of the dyno before has gone as well, which is after its container."""
        found = services()
        return found[0] if len(found) == 1 else None

    service = eventually(only_one, 60, "one service")
    service.remove()
    eventually(lambda: [each for each in services() if each.id != service.id], 15, "a new service")
    eventually(lambda: platform.serves("node"), 30, "node answers again")


def test_removed_router_is_mended_by_up(platform: Platform) -> None:
    platform.engine.services.get(f"{STACK}_router").remove()
    mended = dynoform("up", "--stack", STACK, "--yes")
    assert mended.code == 0, f"{mended.out}\n{mended.err}"
    assert eventually(lambda: platform.serves("python"), 30, "python answers again")


def test_drift_of_a_service_is_told_found_and_mended(platform: Platform, status: Any) -> None:
    service = platform.engine.services.get(f"{STACK}_registry")
    service.scale(0)
    eventually(lambda: not running(status(), "registry"), 30, "the registry is gone")
    told = dynoform("doctor", "--stack", STACK)
    assert told.code == 1
    assert f"✗ service {STACK}_registry: {STACK}_registry: 0 of " in told.out
    assert f"bin/dynoform up --stack {STACK}" in told.out
    assert dynoform("status", "--stack", STACK).code == 1
    mended = dynoform("up", "--stack", STACK, "--yes")
    assert mended.code == 0, f"{mended.out}\n{mended.err}"
    service.reload()
    assert service.attrs["Spec"]["Mode"]["Replicated"]["Replicas"] == 1


def running(shown: dict[str, Any], noun: str) -> int:
    """How many tasks of a platform service run, by what ``status`` says."""
    (service,) = (one for one in shown["services"] if one["name"] == f"{STACK}_{noun}")
    return int(service["running"])


@pytest.mark.parametrize(
    ("example", "says"),
    [
        ("no-buildpack", "No default language could be detected"),
        ("bad-procfile", "Procfile"),
        ("failing-build", "failed to compile"),
    ],
)
def test_broken_source_is_refused_and_what_ran_still_runs(platform: Platform, example: str, says: str) -> None:
    before = platform.api.get("/apps/python/releases").json()
    finished, output = build(platform, "python", BROKEN / example)
    assert finished["status"] == "failed"
    assert says.lower() in output.lower()
    assert platform.api.get("/apps/python/releases").json() == before
    assert platform.serves("python")


def test_broken_source_of_a_declared_app_fails_up_and_the_app_still_runs(platform: Platform, tmp_path: Path) -> None:
    declared = ROOT / f"Pulumi.{STACK}.yaml"
    before = declared.read_text()
    try:
        declared.write_text(before.replace("examples/apps/python", "examples/apps/broken/no-buildpack"))
        failed = dynoform("up", "--stack", STACK, "--yes")
    finally:
        declared.write_text(before)
    assert failed.code == 1
    lines = [line for line in failed.err.splitlines() if "mend the source, run 'up' again" in line]
    assert len(lines) == 1, failed.err
    assert "build of " in lines[0]
    assert "broken/no-buildpack" in lines[0]
    assert platform.serves("python")
    again = dynoform("up", "--stack", STACK, "--yes")
    assert again.code == 0, again.err


def test_new_release_takes_over_without_a_failed_request(platform: Platform) -> None:
    version = platform.api.get("/apps/python/releases").json()[-1]["version"]
    platform.api.patch("/apps/python/config-vars", json={"GREETING": "Changed"}).raise_for_status()
    statuses: list[int] = []

    def changed() -> bool:
        answer = platform.app("python")
        statuses.append(answer.status_code)
        return "Changed" in answer.text

    eventually(changed, 45, "the new config var in the answer")
    assert set(statuses) == {200}
    assert platform.api.get("/apps/python/releases").json()[-1]["version"] == version + 1


def test_dyno_reaches_neither_engine_nor_platform(platform: Platform) -> None:
    router = "import socket; socket.create_connection(('172.29.32.1', 18080), 5)"

    def settled() -> Any:
        """The app's one dyno, and not one that leaves, whose network goes before its last process."""
        container = platform.only_dyno("python")
        return container if container and container.exec_run(["python3", "-c", router])[0] == 0 else None

    container = eventually(settled, 60, "one dyno that reaches the router")
    probe = (
        "import socket,sys\n"
        "for host, port in [('172.29.36.1',17400),('172.29.36.1',17401),('172.29.32.1',22),('169.254.169.254',80)]:\n"
        "    try: socket.create_connection((host, port), 2); print('open', host, port)\n"
        "    except OSError: pass\n"
    )
    code, output = container.exec_run(["python3", "-c", probe])
    assert (code, output.decode()) == (0, ""), output
    assert not any("docker.sock" in mount.get("Source", "") for mount in container.attrs["Mounts"])


def test_status_shows_services_apps_and_memory(status: Any, platform: Platform) -> None:
    shown = status()
    assert {service["name"] for service in shown["services"]} >= {
        f"{STACK}_router",
        f"{STACK}_api",
        f"{STACK}_postgres",
    }
    assert {app["name"] for app in shown["apps"]} == {"python", "node"}
    eventually(lambda: host_is_told(status()["hosts"], platform), 60, "the host is told of with its dynos")


def host_is_told(hosts: list[dict[str, Any]], platform: Platform) -> bool:
    """Whether status shows this host, well, with as many dynos as run."""
    dynos = sum(len(platform.containers(app)) for app in ("python", "node"))
    return [(host["state"], host["problem"], host["dynos"]) for host in hosts] == [("open", None, dynos)]


def test_doctor_finds_nothing_wrong(platform: Platform) -> None:
    run = dynoform("doctor", "--stack", STACK)
    assert run.code == 0, run.out


@pytest.mark.restarts_engine
def test_everything_is_back_after_a_restart_of_the_engine(platform: Platform) -> None:
    (pid,) = (int(entry) for entry in os.listdir("/proc") if entry.isdigit() and is_engine(int(entry)))
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), 60, "the engine stops")
    start_engine()  # and nothing else: the rest comes back by itself, as at boot
    for app in ("python", "node"):
        eventually(lambda a=app: platform.serves(a), 90, f"{app} answers after the restart")  # type: ignore[misc]
    settled = dynoform("up", "--stack", STACK, "--yes")
    assert settled.code == 0, f"{settled.out}\n{settled.err}"


def start_engine() -> None:
    """Start dockerd as the role ``docker_engine`` does."""
    directly = ["/bin/sh", ROOT / "roles/docker_engine/files/start_dockerd.sh", "/usr/bin/docker", "90"]
    by_systemd = ["systemctl", "start", "docker"]
    subprocess.run(by_systemd if Path("/run/systemd/system").exists() else directly, check=True, timeout=120)


def is_engine(pid: int) -> bool:
    """Whether the process is the host's dockerd."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
    except OSError:
        return False


def test_down_keeps_data_and_up_brings_it_back(platform: Platform) -> None:
    platform.api.patch("/apps/python/config-vars", json={"KEPT": "yes"}).raise_for_status()
    said = eventually(
        lambda: re.search(r"^.* app\[api\]: Set KEPT config vars .*$", log(platform), re.M), 30, "the line"
    )
    assert dynoform("down", "--stack", STACK, "--yes").code == 0
    assert platform.engine.services.list(filters=LABEL) == []
    assert platform.engine.volumes.list(filters=LABEL) != []
    began = time.monotonic()
    again = dynoform("up", "--stack", STACK, "--yes")
    assert again.code == 0, f"{again.out}\n{again.err}"
    assert time.monotonic() - began < 300
    # What was changed through the API is in the store: it outlived the platform.
    fresh = Platform()
    assert fresh.api.get("/apps/python/config-vars").json()["KEPT"] == "yes"
    assert len(fresh.api.get("/apps/python/releases").json()) > 1
    eventually(lambda: said[0] in log(fresh), 30, "what was said before in the log")
    fresh.close()


def test_purge_leaves_nothing_behind(platform: Platform) -> None:
    gone = dynoform("down", "--stack", STACK, "--yes", "--purge")
    assert gone.code == 0, f"{gone.out}\n{gone.err}"
    engine = platform.engine
    assert engine.services.list(filters=LABEL) == []
    assert engine.volumes.list(filters=LABEL) == []
    assert engine.secrets.list(filters=LABEL) == []
    assert [network.name for network in engine.networks.list() if network.name.startswith(f"{STACK}_")] == []

import copy
import re
import subprocess
import uuid
from dataclasses import replace

import pytest

from dynoform.domain import dyno_container, dyno_lines
from dynoform.errors import ConflictError
from dynoform.reconcile import specification
from dynoform.reconcile.specification import DynoService

SHOP = DynoService(
    stack="local", network="local_dynos", app_id=uuid.UUID(int=1), app_name="shop", dyno_id=uuid.UUID(int=2 << 96),
    release_id=uuid.UUID(int=3 << 96), version=5, type="web", number=1, size="Standard-2X", command="python app.py",
    image="172.29.4.1:5000/apps/x@sha256:0",
)  # fmt: skip


def test_a_web_dyno_publishes_its_port_on_the_host_and_a_worker_none() -> None:
    web = specification.service(SHOP, "secret", 20001)["endpoint_spec"]
    assert web == {
        "Mode": "dnsrr",
        "Ports": [{"Protocol": "tcp", "TargetPort": 5000, "PublishedPort": 20001, "PublishMode": "host"}],
    }
    assert specification.service(SHOP, "secret", None)["endpoint_spec"]["Ports"] == []


def test_a_dyno_is_limited_by_its_size_and_has_no_privileges() -> None:
    template = specification.service(SHOP, "secret", 20001)["task_template"]
    assert template["Resources"]["Limits"] == {"MemoryBytes": 2048 * 1024 * 1024, "Pids": 512}
    container = template["ContainerSpec"]
    assert container["Ulimits"] == [
        {"Name": "nofile", "Soft": 10_000, "Hard": 10_000},
        {"Name": "core", "Soft": 0, "Hard": 0},
    ]
    assert (container["User"], container["CapabilityDrop"], container["Init"]) == ("1000:1000", ["ALL"], True)
    assert container["Privileges"] == {"NoNewPrivileges": True}
    assert container["StopGracePeriod"] == 30 * 10**9
    assert container["Command"] == dyno_container.supervised(["/opt/dynoform/dyno"])
    assert (container["Args"], container["Env"]) == (["python app.py"], ["PORT=5000", "DYNO=web.1"])
    own = replace(SHOP, variables={"HEROKU_DYNO_ID": "2"})
    environment = specification.service(own, "secret", None)["task_template"]["ContainerSpec"]["Env"]
    assert environment == ["PORT=5000", "DYNO=web.1", "HEROKU_DYNO_ID=2"]
    assert container["Secrets"][0]["File"] == {"Name": "config", "UID": "1000", "GID": "1000", "Mode": 0o400}


def test_a_users_own_image_gets_its_config_vars_from_the_secret_and_keeps_its_command() -> None:
    own = replace(SHOP, container=True, command="serve --name 'two words'")
    container = specification.service(own, "secret", 20001)["task_template"]["ContainerSpec"]
    shell, option, script, name = container["Command"][len(dyno_container.supervised([])) :]
    assert (shell, option, name) == ("/bin/sh", "-c", "sh")
    assert container["Command"][: len(dyno_container.supervised([]))] == dyno_container.supervised([])
    assert script.startswith(". /run/secrets/config\nexport PORT=5000 DYNO=web.1\n")
    assert script.endswith('\neval "exec $confined $1"')
    assert container["Args"] == ["serve --name 'two words'"]
    assert (container["User"], container["CapabilityDrop"], container["Init"]) == ("1000:1000", ["ALL"], True)
    assert container["Env"] == ["PORT=5000", "DYNO=web.1"], "no config var is in the service"


def test_log_lines_can_be_filed_by_the_containers_labels() -> None:
    template = specification.service(SHOP, "secret", 20001)["task_template"]
    wanted = template["LogDriver"]["Options"]["labels"].split(",")
    assert set(wanted) <= template["ContainerSpec"]["Labels"].keys()
    assert template["ContainerSpec"]["Labels"]["dynoform.dyno"] == "web.1"


def test_swarm_restarts_once_per_good_run_and_not_while_a_cool_off_is_due() -> None:
    first = specification.service(SHOP, "secret", 20001)["task_template"]["RestartPolicy"]
    assert first == {"Condition": "any", "Delay": 0, "MaxAttempts": 1, "Window": 3600 * 10**9}
    later = specification.service(replace(SHOP, crashes=2), "secret", 20001)["task_template"]["RestartPolicy"]
    assert later == {"Condition": "none"}


@pytest.mark.parametrize("app", ["shop", "a" * 30, "x-y-z"])
@pytest.mark.parametrize("kind", ["web", "a_very-long_process_type_name--", "release"])
def test_names_are_what_swarm_takes_and_no_two_dynos_share_one(app: str, kind: str) -> None:
    one = replace(SHOP, app_name=app, type=kind)
    other = replace(one, dyno_id=uuid.UUID(int=9 << 96), release_id=uuid.UUID(int=9 << 96))
    for name in (one.name, one.secret_name):
        assert re.fullmatch(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*", name)
        assert len(name) <= 63
    assert one.name != other.name
    assert one.secret_name != other.secret_name
    assert SHOP.name == "local_shop_web-1_v5_00000002"


def test_config_vars_reach_a_shell_unchanged() -> None:
    config = {"PLAIN": "a", "QUOTES": 'it\'s "x" `id` $(id) $HOME \\', "LINES": "a\n\nb\n", "EMPTY": "", "UTF": "é\t✓"}
    script = dyno_container.config_file(config).decode() + "env -0"
    output = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=60).stdout.decode()
    found = dict(entry.split("=", 1) for entry in output.split("\0") if entry)
    assert {name: found[name] for name in config} == config


def test_without_config_vars_the_secret_is_not_empty() -> None:
    assert dyno_container.config_file({}).strip()


def test_ports_are_spread_and_never_given_twice() -> None:
    ports = {specification.free_port(frozenset(), str(seed)) for seed in range(100)}
    assert len(ports) > 95
    assert ports <= set(specification.PUBLISHED)
    first = specification.free_port(frozenset(), "seed")
    assert specification.free_port(frozenset({first}), "seed") != first


def test_no_port_left_is_said() -> None:
    with pytest.raises(ConflictError, match="20000 to 29999: are all taken"):
        specification.free_port(frozenset(specification.PUBLISHED), "seed")


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ({"Spec": {"Mode": {"Replicated": {"Replicas": 1}}, "TaskTemplate": {}}}, ""),
        ({"Spec": {"Mode": {"Replicated": {"Replicas": 0}}, "TaskTemplate": {}}}, "0 replicas"),
    ],
)
def test_changes_by_hand_are_seen(service: dict[str, object], found: str) -> None:
    assert specification.altered(service) == found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ContainerSpec", "Image"), "nginx"),
        (("ContainerSpec", "Args"), ["sleep 1"]),
        (("ContainerSpec", "Env"), ["PORT=1"]),
        (("ContainerSpec", "User"), "0"),
        (("Resources", "Limits"), {"Pids": 0}),
    ],
)
def test_a_changed_service_is_known_however_often_it_was_updated(path: tuple[str, str], value: object) -> None:
    made = specification.service(SHOP, "secret", 20001)
    spec = {"Labels": made["labels"], "TaskTemplate": made["task_template"]}
    assert specification.altered({"Spec": spec}) == ""
    restarted = {**spec, "TaskTemplate": {**spec["TaskTemplate"], "ForceUpdate": 2}}
    assert specification.altered({"Spec": restarted, "PreviousSpec": spec}) == ""
    changed = copy.deepcopy(spec)
    changed["TaskTemplate"][path[0]][path[1]] = value
    assert specification.altered({"Spec": changed, "PreviousSpec": changed}) == "its specification"
    unlabelled = {**spec, "Labels": {}}
    assert specification.altered({"Spec": unlabelled, "PreviousSpec": spec}) == "its specification"


@pytest.mark.parametrize(
    ("code", "seconds", "lines"),
    [
        (0, None, ["Process exited with status 0"]),
        (143, 1.0, ["Process exited with status 143"]),
        (137, None, ["Process exited with status 137"]),
        (137, 30.1, [dyno_lines.EXIT_TIMEOUT, dyno_lines.KILLING, "Process exited with status 137"]),
    ],
)
def test_the_end_of_a_process_reads_as_on_heroku(code: int, seconds: float | None, lines: list[str]) -> None:
    assert dyno_lines.stopped(code, seconds) == lines


@pytest.mark.parametrize(
    ("why", "advice"),
    [
        (
            "No such image: x@sha256:0",
            ": its image cannot be had, tried again soon; if this stays so, deploy the app again",
        ),
        ("manifest unknown", ": its image cannot be had, tried again soon; if this stays so, deploy the app again"),
        ("network x is not ready", ""),
    ],
)
def test_a_dyno_that_cannot_be_launched_says_what_to_do(why: str, advice: str) -> None:
    assert dyno_lines.launch_failed(why) == f"Error R99 (Platform error) -> Failed to launch the dyno{advice}"

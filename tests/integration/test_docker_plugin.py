"""The docker plugin against a real engine: life of each resource type, drift, failures, and through Pulumi itself."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import grpc
import pytest

from providers.docker.wire import UNKNOWN
from tests.integration.docker_plugin import (
    IMAGE,
    LABEL,
    LABEL_VALUE,
    LABELS,
    LAUNCHER,
    ROOT,
    Made,
    Plugin,
    build_image,
    clean,
    meanwhile,
    partial,
    plugin,
)

pytestmark = pytest.mark.engine

RESTART = {"condition": "any", "delay": "1s", "window": "0s"}
CONVERGE = {"delay": "100ms", "timeout": "30s"}
C = "taskSpec.containerSpec"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.APIClient]:
    client = docker.APIClient(version="auto")
    clean(client)
    joined = client.info()["Swarm"]["LocalNodeState"] == "active"
    if not joined:
        client.init_swarm(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
    build_image(client)
    yield client
    clean(client)
    if not joined:
        client.leave_swarm(force=True)
    client.close()


@pytest.fixture(scope="module")
def pulumi(engine: docker.APIClient) -> Iterator[Plugin]:
    with plugin() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(engine: docker.APIClient) -> Iterator[None]:
    yield
    for service in engine.services(filters={"label": f"{LABEL}={LABEL_VALUE}"}):
        engine.remove_service(service["ID"])


def web(name: str, **changes: Any) -> dict[str, Any]:
    """A program's service; ``changes`` are of its container, or of the service where named so."""
    container = {"image": IMAGE, "commands": ["sleep", "600"], "stopGracePeriod": "1s"}
    task: dict[str, Any] = {"containerSpec": container, "restartPolicy": RESTART}
    program: dict[str, Any] = {
        "name": f"dkptest_{name}",
        "labels": LABELS,
        "endpointSpec": {"mode": "dnsrr"},
        "convergeConfig": CONVERGE,
        "updateConfig": {"monitor": "500ms"},
        "taskSpec": task,
    }
    for key, value in changes.items():
        place = program if key in ("labels", "mode", "convergeConfig", "updateConfig") else container
        place = task if key in ("restartPolicy", "networksAdvanceds") else place
        place[key] = value
    return {key: value for key, value in program.items() if value is not None}


def started(engine: docker.APIClient, made: Made) -> list[str]:
    """Ids of all tasks that the service ever had."""
    return sorted(task["ID"] for task in engine.tasks(filters={"service": made.id}))


def details(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(error.value.details())


def test_volume_lives_and_is_adopted(pulumi: Plugin) -> None:
    made = pulumi.create("Volume", "data", {"labels": LABELS})
    assert made.id.startswith("data-")
    assert made.outputs["mountpoint"]
    assert pulumi.changes(made, {"labels": LABELS}) == []
    again = pulumi.create("Volume", "other", {"name": made.id, "labels": LABELS})
    assert again.id == made.id
    assert pulumi.imported("Volume", made.id).inputs == {"driver": "local", "labels": LABELS, "name": made.id}
    pulumi.delete(made)
    assert pulumi.read(made).id == ""
    pulumi.delete(made)


def test_network_lives_and_a_second_of_its_name_is_refused(pulumi: Plugin) -> None:
    program = {"name": "dkptest_net", "labels": LABELS, "ipamConfigs": [{"subnet": "10.219.0.0/24"}]}
    made = pulumi.create("Network", "net", program)
    assert (made.outputs["driver"], made.outputs["scope"], len(made.id)) == ("bridge", "local", 64)
    fresh = pulumi.read(made)
    assert pulumi.changes(fresh, program) == []
    assert pulumi.changes(pulumi.imported("Network", "dkptest_net"), program) == []
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("Network", "net", program)
    assert "Unable to create network: Error response from daemon: network with name dkptest_net" in details(error)
    pulumi.delete(made)
    pulumi.delete(made)
    assert pulumi.read(made).id == ""


def test_config_and_secret_live(pulumi: Plugin) -> None:
    config = pulumi.create("ServiceConfig", "c", {"dataRaw": "hello", "labels": LABELS})
    assert (config.outputs["data"], config.outputs["dataRaw"]) == (None, "hello")
    imported = pulumi.imported("ServiceConfig", config.id)
    assert base64.b64decode(imported.inputs["data"]) == b"hello"
    secret = pulumi.create("Secret", "s", {"data": "aGVsbG8=", "labels": LABELS})
    assert pulumi.read(secret).outputs == secret.outputs
    assert pulumi.imported("Secret", secret.id).id == ""
    for made in (config, secret):
        pulumi.delete(made)
        pulumi.delete(made)
        assert pulumi.read(made).id == ""


def test_empty_secret_is_refused_by_the_engine(pulumi: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("Secret", "s", {"data": ""})
    assert "secret data must be larger than 0 and less than 512000 bytes" in details(error)


def test_service_lives(pulumi: Plugin, engine: docker.APIClient) -> None:
    made = pulumi.create("Service", "web", web("life", env={"A": "1"}))
    assert len(made.id) == 25
    assert pulumi.changes(made, web("life", env={"A": "1"})) == []
    assert pulumi.changes(pulumi.read(made), web("life", env={"A": "1"})) == []
    changed = pulumi.update(made, web("life", env={"A": "2"}, mode={"replicated": {"replicas": 2}}))
    assert changed.outputs["mode"]["replicated"] == {"replicas": 2}
    running = engine.tasks(filters={"service": made.id, "desired-state": "running"})
    assert [task["Spec"]["ContainerSpec"]["Env"] for task in running] == [["A=2"], ["A=2"]]
    assert all(task["Status"]["State"] == "running" for task in running)
    pulumi.delete(changed)
    containers = {"label": f"com.docker.swarm.service.id={made.id}"}
    assert engine.containers(all=True, filters=containers) == []
    pulumi.delete(changed)
    assert pulumi.read(changed).id == ""


def test_full_service_shows_no_difference_after_create_and_refresh(pulumi: Plugin) -> None:
    network = pulumi.create("Network", "full", {"driver": "bridge", "attachable": True, "labels": LABELS})
    secret = pulumi.create("Secret", "full", {"data": "aGVsbG8=", "labels": LABELS})
    program = web(
        "full",
        env={"A": "1", "B": ""},
        healthcheck={"tests": ["CMD", "sleep", "0"], "interval": "1000ms", "retries": 2},
        hosts=[{"host": "h", "ip": "10.0.0.1"}],
        mounts=[
            {"target": "/t", "type": "tmpfs", "tmpfsOptions": {"mode": 0o755, "sizeBytes": 65536}},
            {"target": "/b", "type": "bind", "source": "/etc", "readOnly": True},
        ],
        secrets=[{"secretId": secret.id, "secretName": secret.outputs["name"], "fileName": "s", "fileUid": "1000"}],
        capDrops=["ALL"],
        init=True,
        user="1000:1000",
        sysctl={"net.ipv4.ip_unprivileged_port_start": "0"},
    )
    program["endpointSpec"]["ports"] = [{"targetPort": 80, "publishMode": "host"}]
    program["taskSpec"] |= {
        "resources": {"limits": {"memoryBytes": 64 << 20, "nanoCpus": 100_000_000}},
        "placement": {"constraints": ["node.role==manager"], "maxReplicas": 2},
        "logDriver": {"name": "json-file", "options": {"max-size": "1m"}},
    }
    made = pulumi.create("Service", "full", program)
    assert pulumi.changes(made, program) == []
    assert pulumi.changes(pulumi.read(made), program) == []
    imported = pulumi.imported("Service", made.id)
    assert pulumi.changes(imported, {**imported.inputs, "convergeConfig": None}) == []
    assert pulumi.imported("Service", program["name"]).id == ""
    with pytest.raises(grpc.RpcError) as error:
        pulumi.delete(secret)
    assert f"is in use by the following service: {program['name']}" in details(error)
    for resource in (made, secret, network):
        pulumi.delete(resource)


def test_drift_shows_and_is_put_back(pulumi: Plugin, engine: docker.APIClient) -> None:
    program = web("drift", env={"A": "1"}, mode={"replicated": {"replicas": 1}})
    made = pulumi.create("Service", "drift", program)
    subprocess.run(
        ["docker", "service", "update", "-q", "-d", "--replicas=3", "--env-add=B=2", "--label-add=x=y", made.id],
        check=True,
        capture_output=True,
    )
    drifted = pulumi.read(made)
    assert drifted.inputs["mode"] == {"replicated": {"replicas": 3}}
    assert pulumi.changes(drifted, program) == ["labels[1]", "mode.replicated.replicas", f"{C}.env.B"]
    mended = pulumi.update(drifted, program)
    assert pulumi.changes(mended, program) == []
    assert engine.inspect_service(made.id)["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]
    engine.remove_service(made.id)
    assert pulumi.read(mended).id == ""
    with pytest.raises(grpc.RpcError) as error:
        pulumi.update(mended, web("drift"))
    assert f"updating {made.urn}: 1 error occurred:" in details(error)
    assert f"service {made.id} not found" in details(error)


def test_what_the_program_does_not_name_stays_as_it_was_set_elsewhere(pulumi: Plugin, engine: docker.APIClient) -> None:
    made = pulumi.create("Service", "scaled", web("scaled"))
    subprocess.run(["docker", "service", "scale", "-d", f"{made.id}=2"], check=True, capture_output=True)
    pulumi.update(made, web("scaled", env={"A": "1"}))
    assert engine.inspect_service(made.id)["Spec"]["Mode"] == {"Replicated": {"Replicas": 2}}


@pytest.mark.parametrize("policy", [RESTART, None], ids=["policy", "none"])
def test_label_alone_restarts_nothing(pulumi: Plugin, engine: docker.APIClient, policy: Any) -> None:
    made = pulumi.create("Service", "label", web("label", restartPolicy=policy))
    before = started(engine, made)
    labelled = web("label", restartPolicy=policy, labels=[*LABELS, {"label": "a", "value": "1"}])
    changed = pulumi.update(made, labelled)
    time.sleep(1)
    assert len(changed.outputs["labels"]) == 2
    assert started(engine, made) == before


def test_service_that_never_runs_is_removed_again(pulumi: Plugin, engine: docker.APIClient) -> None:
    program = web("never", commands=["false"], convergeConfig={"delay": "100ms", "timeout": "4s"})
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("Service", "never", program)
    text = details(error)
    assert text.startswith("1 error occurred:\n\t* Service with ID (")
    assert "did not converge after 4s: 0 of 1 tasks run: a task is failed: task: non-zero exit (1)" in text
    assert engine.services(filters={"name": program["name"]}) == []


def test_failed_update_is_remembered_and_can_be_taken_back(pulumi: Plugin) -> None:
    good = web("fails", updateConfig={"monitor": "2s"})
    made = pulumi.create("Service", "fails", good)
    with pytest.raises(grpc.RpcError) as error:
        pulumi.update(made, web("fails", updateConfig={"monitor": "2s"}, commands=["false"]))
    assert "service update paused: update paused due to failure or early termination of task" in details(error)
    failed = partial(error.value)
    assert failed.id == made.id
    assert failed.properties["taskSpec"]["containerSpec"]["commands"][0] == "false"
    assert failed.inputs["taskSpec"]["containerSpec"]["commands"][0] == "sleep"
    made.outputs["taskSpec"]["containerSpec"]["commands"] = ["false"]
    assert pulumi.changes(made, good) == [f"{C}.commands[0]", f"{C}.commands[1]"]
    pulumi.update(made, good)


def test_update_gets_through_while_others_change_the_service(pulumi: Plugin, engine: docker.APIClient) -> None:
    made = pulumi.create("Service", "busy", web("busy", convergeConfig=None))
    labels = [*LABELS, {"label": "mine", "value": "1"}]

    def disturb() -> None:
        found = engine.inspect_service(made.id)
        url = f"{engine.base_url}/v{engine.api_version}/services/{made.id}/update"
        engine.post(url, json=found["Spec"], params={"version": found["Version"]["Index"]})

    with meanwhile(disturb):
        for number in range(5):
            value = {"label": "mine", "value": str(number)}
            made = pulumi.update(made, web("busy", convergeConfig=None, labels=[*LABELS, value]))
    assert len(made.outputs["labels"]) == len(labels)
    assert engine.inspect_service(made.id)["Spec"]["Labels"]["mine"] == "4"


def test_networks_by_name_stay_by_name(pulumi: Plugin) -> None:
    network = pulumi.create("Network", "byname", {"name": "dkptest_byname", "driver": "overlay", "labels": LABELS})
    program = web("byname", networksAdvanceds=[{"name": "dkptest_byname"}], convergeConfig=None)
    made = pulumi.create("Service", "byname", program)
    assert pulumi.changes(pulumi.read(made), program) == []
    pulumi.delete(made)
    pulumi.delete(network)


def test_image_is_built_shown_and_removed(pulumi: Plugin, engine: docker.APIClient, tmp_path: Path) -> None:
    recipe = "ARG BASE\nFROM ${BASE} AS a\nCOPY . /src\nARG WORD\nLABEL word=${WORD}\nFROM a AS b\n"
    (tmp_path / "Dockerfile").write_text(recipe)
    (tmp_path / ".dockerignore").write_text("secret.txt\n")
    (tmp_path / "secret.txt").write_text("hidden")
    (tmp_path / "seen.txt").write_text("seen")
    name = "dynoform-test/docker-plugin-built:1"
    build = {
        "context": str(tmp_path),
        "buildArgs": {"BASE": IMAGE, "WORD": "dyno"},
        "target": "a",
        "labels": {LABEL: LABEL_VALUE},
        "tags": ["dynoform-test/docker-plugin-built:2"],
    }
    program = {"name": name, "build": build, "triggers": {"hash": "1"}}
    made = pulumi.create("RemoteImage", "built", program)
    assert made.id == made.outputs["imageId"] + name
    assert any(line.startswith("Successfully built") for line in pulumi.messages.lines)
    found = engine.inspect_image("dynoform-test/docker-plugin-built:2")
    assert found["Config"]["Labels"] == {LABEL: LABEL_VALUE, "word": "dyno"}
    assert _files(engine, name, "/src") == {"Dockerfile", ".dockerignore", "seen.txt"}
    assert pulumi.changes(pulumi.read(made), program) == []
    assert list(pulumi.diff(made, {**program, "triggers": {"hash": "2"}}).replaces) == ["triggers"]
    pulumi.delete(made)
    assert pulumi.read(made).id == ""
    pulumi.delete(made)


def _files(engine: docker.APIClient, image: str, directory: str) -> set[str]:
    container = engine.create_container(image, ["sleep", "1"], labels={LABEL: LABEL_VALUE})["Id"]
    try:
        stream, _ = engine.get_archive(container, directory)
        listed = subprocess.run(["tar", "-t"], input=b"".join(stream), check=True, capture_output=True).stdout
    finally:
        engine.remove_container(container)
    return {line.split("/", 1)[1] for line in listed.decode().splitlines() if not line.endswith("/")}


def test_failed_build_shows_its_last_lines(pulumi: Plugin, tmp_path: Path) -> None:
    recipe = tmp_path / "Dockerfile"
    recipe.write_text(f'FROM {IMAGE}\nRUN ["sh", "-c", "echo it is broken; exit 3"]\n')
    program = {"name": "dynoform-test/docker-plugin-broken:1", "build": {"context": str(tmp_path), "forceRemove": True}}
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("RemoteImage", "broken", program)
    assert "returned a non-zero code: 3" in details(error)
    assert "it is broken" in details(error)
    recipe.unlink()
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("RemoteImage", "broken", program)
    assert f"error resolving dockerfile path: dockerfile not found at path: {recipe}" in details(error)


def test_image_that_is_there_is_taken_and_kept(pulumi: Plugin, engine: docker.APIClient) -> None:
    engine.tag(IMAGE, "dynoform-test/docker-plugin-kept", "1")
    made = pulumi.create("RemoteImage", "kept", {"name": "dynoform-test/docker-plugin-kept:1", "keepLocally": True})
    assert made.outputs["repoDigest"] == ""
    pulumi.delete(made)
    assert pulumi.read(made).id == made.id
    engine.tag(IMAGE, "dynoform-test/docker-plugin-kept", "1")
    made.outputs |= {"keepLocally": None, "imageId": "sha256:of-an-older-image"}
    pulumi.delete(made)
    assert pulumi.read(made).id == made.id, "the name is another image's: it stays"


def test_image_that_nobody_has_cannot_be_pulled(pulumi: Plugin) -> None:
    name = "127.0.0.1:1/dynoform/none:1"
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("RemoteImage", "none", {"name": name})
    assert f"Unable to read Docker image into resource: unable to pull image {name}: error" in details(error)


def test_engine_is_contacted_at_the_first_use(engine: docker.APIClient, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "__init__.py").write_text("raise ImportError('a folder of the program')")
    with plugin({"host": "unix:///nowhere.sock"}, directory=tmp_path) as lost:
        preview = lost.create("Volume", "v", {}, preview=True)
        assert (preview.id, preview.outputs["mountpoint"]) == ("", UNKNOWN)
        with pytest.raises(grpc.RpcError) as error:
            lost.create("Volume", "v", {})
    assert (
        "failed to create Docker client: Error pinging Docker server, please make sure that unix:///nowhere.sock "
        "is reachable and has a  '_ping' endpoint." in details(error)
    )


def test_types_and_functions_that_are_not_served_are_refused_by_name(pulumi: Plugin) -> None:
    (failure,) = pulumi.check("Container", "c", {"image": "x"}).failures
    assert failure.reason.startswith("docker:index/container:Container: is not served by this docker plugin")


PROGRAM = """
import json, os, pulumi, pulumi_docker as docker
given = json.loads(os.environ["GIVEN"])
labels = [docker.ServiceLabelArgs(label="{label}", value="{value}")]
secret = docker.Secret("key", data=given["data"], labels=[docker.SecretLabelArgs(label="{label}", value="{value}")])
docker.Service(
    "web",
    labels=labels,
    endpoint_spec=docker.ServiceEndpointSpecArgs(mode="dnsrr"),
    converge_config=docker.ServiceConvergeConfigArgs(delay="100ms", timeout="60s"),
    update_config=docker.ServiceUpdateConfigArgs(monitor="500ms"),
    task_spec=docker.ServiceTaskSpecArgs(
        container_spec=docker.ServiceTaskSpecContainerSpecArgs(
            image="{image}",
            commands=["sleep", "600"],
            stop_grace_period="1s",
            env=given["env"],
            secrets=[
                docker.ServiceTaskSpecContainerSpecSecretArgs(
                    secret_id=secret.id, secret_name=secret.name, file_name="key"
                )
            ],
        ),
        restart_policy=docker.ServiceTaskSpecRestartPolicyArgs(condition="any", delay="1s", window="0s"),
    ),
)
"""


@pytest.fixture
def project(engine: docker.APIClient, tmp_path: Path) -> Path:
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    for program in ("pulumi", "pulumi-language-python"):
        if shutil.which(program, path=path) is None:
            pytest.skip(f"needs {program}, which 'bin/dynoform' brings into .venv/bin")
    plugins = tmp_path / "home/plugins/resource-docker-v5.2.0"
    plugins.mkdir(parents=True)
    (plugins / "pulumi-resource-docker").symlink_to(LAUNCHER)
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        f"name: dkptest\nruntime: {{name: python, options: {{toolchain: pip, virtualenv: {ROOT / '.venv'}}}}}\n"
    )
    (tmp_path / "__main__.py").write_text(PROGRAM.format(label=LABEL, value=LABEL_VALUE, image=IMAGE))
    return tmp_path


def _run(project: Path, *words: str, **given: Any) -> str:
    environment = {
        **os.environ,
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "PULUMI_HOME": str(project / "home"),
        "PULUMI_BACKEND_URL": f"file://{project / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        "GIVEN": json.dumps({"data": "YQ==", "env": {"A": "1"}, **given}),
    }
    found = shutil.which("pulumi", path=environment["PATH"]) or "pulumi"
    command = [found, *words, "--non-interactive", "--stack", "test"]
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_pulumi_drives_it(project: Path, engine: docker.APIClient) -> None:
    _run(project, "stack", "init")
    _run(project, "up", "--yes", "--skip-preview")
    _run(project, "preview", "--expect-no-changes")
    steps = json.loads(_run(project, "preview", "--json", data="Yg=="))["steps"]
    kinds = {(step["urn"].split("::")[-1], step["op"]) for step in steps} - {("dkptest-test", "same")}
    assert kinds == {("key", "replace"), ("web", "update")}
    _run(project, "up", "--yes", "--skip-preview", data="Yg==")
    _run(project, "refresh", "--yes", "--skip-preview", "--expect-no-changes", data="Yg==")
    _run(project, "preview", "--expect-no-changes", data="Yg==")
    state = json.loads(_run(project, "stack", "export"))["deployment"]["resources"]
    (secret,) = (resource for resource in state if resource["type"] == "docker:index/secret:Secret")
    assert "ciphertext" in secret["inputs"]["data"]
    assert "ciphertext" in secret["outputs"]["data"]
    (service,) = engine.services(filters={"label": f"{LABEL}={LABEL_VALUE}"})
    engine.remove_service(service["ID"])
    _run(project, "up", "--yes", "--skip-preview", "--refresh", data="Yg==")
    _run(project, "destroy", "--yes", "--skip-preview")
    assert engine.secrets(filters={"label": f"{LABEL}={LABEL_VALUE}"}) == []

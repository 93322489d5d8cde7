"""What each image promises: who it runs as, what is in it and what is not, and that a kill does it no harm."""

import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.models.containers import Container

from dynoform.domain import sbom
from tests.integration import certificates
from tests.integration.build_platform import ROOT, build_image

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
LABEL = "dynoform.test.images"
VOLUME = "dynoform-test-images-postgres"
PASSWORD = "pass'word"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=900)
    remove_left_overs(client)
    yield client
    remove_left_overs(client)


def remove_left_overs(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        container.remove(force=True, v=True)
    for volume in client.volumes.list(filters={"label": LABEL}):
        volume.remove(force=True)


@pytest.fixture(scope="module")
def images(request: pytest.FixtureRequest, engine: docker.DockerClient) -> dict[str, str]:
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    names = {noun: build_image(engine, noun, base) for noun in ("stack-13", "registry", "postgres", "control-plane")}
    return names | {"stack-13-build": build_image(engine, "stack-13-build", names["stack-13"]), "base": base}


def start(engine: docker.DockerClient, image: str, *command: str, **arguments: Any) -> Container:
    container: Container = engine.containers.run(
        image, list(command), detach=True, labels={LABEL: ""}, cap_drop=["ALL"], **arguments
    )
    return container


def ended(container: Container) -> tuple[int, str]:
    code = int(container.wait(timeout=60)["StatusCode"])
    return code, container.logs().decode()


def run(engine: docker.DockerClient, image: str, *command: str, **arguments: Any) -> str:
    code, output = ended(start(engine, image, *command, **arguments))
    assert code == 0, output
    return output


def size(engine: docker.DockerClient, image: str) -> int:
    return int(engine.images.get(image).attrs["Size"])


def test_the_run_image_has_the_languages_and_no_compiler(engine: docker.DockerClient, images: dict[str, str]) -> None:
    script = (
        "id -u; id -un; pwd; echo $HOME $STACK; for tool in python3 node npm gcc git pip; do command -v $tool; done; :"
    )
    assert run(engine, images["stack-13"], script).split() == [
        *("1000", "dyno", "/app", "/app", "dynoform-13"),
        *("/usr/bin/python3", "/usr/bin/node", "/usr/local/bin/npm"),
    ]
    assert size(engine, images["stack-13"]) - size(engine, images["base"]) < 150_000_000


def test_a_dyno_starts_with_config_profiles_and_what_is_the_platforms_own(
    engine: docker.DockerClient, images: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("export A='it'\\''s'\nexport PORT='1'\nexport DYNO='x'\n")
    (tmp_path / "b.sh").write_text('export B="$A b"\n')
    (tmp_path / "profile").write_text('export C="$B c"\n')
    mounts = {
        str(tmp_path / "config"): {"bind": "/run/secrets/config"},
        str(tmp_path / "b.sh"): {"bind": "/app/.profile.d/b.sh"},
        str(tmp_path / "profile"): {"bind": "/app/.profile"},
    }
    environment = {"PORT": "5000", "DYNO": "web.1"}
    script = "echo $C $PORT $DYNO; tr '\\0' ' ' < /proc/1/cmdline"
    output = run(engine, images["stack-13"], script, volumes=mounts, environment=environment)
    assert output.splitlines()[0] == "it's b c 5000 web.1"
    assert output.splitlines()[1].startswith("bash -c ")  # no shell of ours stays between the engine and the app


def test_a_dynos_exit_code_is_its_commands(engine: docker.DockerClient, images: dict[str, str]) -> None:
    assert ended(start(engine, images["stack-13"], "exit 7"))[0] == 7


def test_the_build_image_has_compilers_and_buildpacks(engine: docker.DockerClient, images: dict[str, str]) -> None:
    script = "id -un; gcc --version | head -n 1; git --version; ls /opt/dynoform/buildpacks"
    output = run(engine, images["stack-13-build"], "bash", "-c", script)
    assert output.startswith("dyno\ngcc ")
    ours = sorted(path.name for path in (ROOT / "buildpacks").iterdir())
    assert {"nodejs", "order", "python"} < set(ours)
    assert output.split()[-len(ours) :] == ours


@pytest.mark.parametrize("noun", ["stack-13", "stack-13-build"])
def test_a_bill_of_materials_has_every_package_and_says_the_same_again(
    engine: docker.DockerClient, images: dict[str, str], noun: str
) -> None:
    name = {"stack-13": "dynoform-13-run", "stack-13-build": "dynoform-13-build"}[noun]
    script = f"dpkg-query -Wf '${{Package}} ${{Version}}\\n'; echo --; cat {sbom.FILE}; echo --; "
    script += f"/opt/dynoform/sbom {name}; cat {sbom.FILE}"
    output = run(engine, images[noun], script, entrypoint=["bash", "-c"], user="0")
    listed, bill, again = output.split("--\n")
    packages = {(package.name, package.version) for package in sbom.packages(sbom.read(bill))}
    installed = {tuple(line.split()) for line in listed.splitlines()}
    assert {name for name, _ in packages - installed} == {"openssh-sftp-server"}, "of which it has a file"
    assert installed <= packages
    assert again == bill


def test_the_control_plane_is_small_unprivileged_and_has_no_tools(
    engine: docker.DockerClient, images: dict[str, str]
) -> None:
    image = images["control-plane"]
    code, output = ended(start(engine, image))
    assert (code, output.split(" {")[0]) == (64, "usage: python3 -m dynoform")
    script = (
        "import os, shutil, dynoform; print(os.getuid(), shutil.which('gcc'), shutil.which('pip'), dynoform.__file__)"
    )
    output = run(engine, image, "-c", script, entrypoint="python3")
    assert output.split() == ["802", "None", "None", "/opt/dynoform/platform/dynoform/__init__.py"]
    # Git, with the perl that Debian gives it, is a third of this.
    assert size(engine, image) - size(engine, images["base"]) < 230_000_000


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    path.chmod(0o644)
    return path


@pytest.fixture
def volume(engine: docker.DockerClient) -> Iterator[str]:
    remove_left_overs(engine)
    engine.volumes.create(VOLUME, labels={LABEL: ""})
    yield VOLUME
    remove_left_overs(engine)


def start_postgres(engine: docker.DockerClient, image: str, volume: str, password: Path) -> Container:
    mounts = {volume: {"bind": "/var/lib/postgresql"}, str(password): {"bind": "/run/secrets/database_password"}}
    return start(engine, image, volumes=mounts)


def query(container: Container, sql: str, password: str = PASSWORD) -> tuple[int, str]:
    command = ["psql", "-h", "127.0.0.1", "-U", "dynoform", "-Atc", sql]
    code, output = container.exec_run(command, environment={"PGPASSWORD": password})
    return code, output.decode().strip()


def wait_until_ready(container: Container) -> None:
    deadline = time.monotonic() + 60
    while container.exec_run(["pg_isready", "-q", "-h", "127.0.0.1"]).exit_code != 0:
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.1)


def test_postgres_is_made_whole_however_often_it_is_killed(
    engine: docker.DockerClient, images: dict[str, str], volume: str, password: Path
) -> None:
    for moment in (0.2, 0.5, 0.8, 1.1, 1.5):
        container = start_postgres(engine, images["postgres"], volume, password)
        time.sleep(moment)
        container.kill()
        container.remove()
    container = start_postgres(engine, images["postgres"], volume, password)
    wait_until_ready(container)
    settings = "SELECT current_setting('data_checksums'), current_setting('shared_buffers')"
    assert query(container, settings) == (0, "on|32MB")
    assert query(container, "CREATE TABLE kept (a int)")[0] == 0
    assert "ERROR" not in container.logs().decode()


def test_postgres_takes_a_new_password_at_its_next_start(
    engine: docker.DockerClient, images: dict[str, str], volume: str, password: Path
) -> None:
    container = start_postgres(engine, images["postgres"], volume, password)
    wait_until_ready(container)
    password.write_text("another")
    started = time.monotonic()
    container.stop(timeout=30)
    assert time.monotonic() - started < 25  # a fast shutdown, no matter who is connected
    container.start()
    wait_until_ready(container)
    assert query(container, "SELECT 1", "another") == (0, "1")
    assert query(container, "SELECT 1")[0] != 0


def test_a_second_postgres_never_touches_a_volume_in_use(
    engine: docker.DockerClient, images: dict[str, str], volume: str, password: Path
) -> None:
    first = start_postgres(engine, images["postgres"], volume, password)
    wait_until_ready(first)
    code, output = ended(start_postgres(engine, images["postgres"], volume, password))
    assert (code, output) == (
        1,
        "postgres: /var/lib/postgresql: is in use by another server: stop that one first\n",
    )
    assert query(first, "SELECT 1") == (0, "1")


def test_the_registry_answers_holders_of_a_client_certificate_only(
    engine: docker.DockerClient, images: dict[str, str], tmp_path: Path
) -> None:
    authority, gateway = certificates.Authority(), "127.0.0.1"
    tls = {"ca.crt": authority.pem}
    for name, client in (("registry", False), ("client", True)):
        tls[f"{name}.crt"], tls[f"{name}.key"] = authority.issue(name, gateway, client=client)
    for name, data in tls.items():
        (tmp_path / name).write_bytes(data)
    names = ("ca.crt", "registry.crt", "registry.key")
    mounts = {str(tmp_path / name): {"bind": f"/run/secrets/{name}"} for name in names}
    container = start(engine, images["registry"], ports={"5000/tcp": (gateway, None)}, volumes=mounts, read_only=True)
    container.reload()
    url = f"https://{gateway}:{container.ports['5000/tcp'][0]['HostPort']}/v2/"
    context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    wait_for_healthy(container)
    with pytest.raises(httpx.HTTPError):
        httpx.get(url, verify=context)
    context.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
    assert httpx.get(url, verify=context, timeout=60).status_code == 200


def wait_for_healthy(container: Container) -> None:
    deadline = time.monotonic() + 60
    while container.attrs["State"]["Health"]["Status"] != "healthy":
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.5)
        container.reload()


def test_a_kafka_starts_whose_clusters_id_looks_like_an_option(
    engine: docker.DockerClient, images: dict[str, str], tmp_path: Path
) -> None:
    """One id of 64 does."""
    authority = certificates.Authority()
    files = (authority.pem, *authority.issue("127.0.0.1", "127.0.0.1"))
    for name, content in zip(("ca.crt", "server.crt", "server.key"), files, strict=True):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o644)
    tmp_path.chmod(0o755)
    node = {
        "KAFKA_CLUSTER": "-pUoiDlHRTOKXZ6eov-HVA",
        "KAFKA_NODE": "1",
        "KAFKA_VOTERS": "1@127.0.0.1:9093",
        "KAFKA_ADVERTISED": "127.0.0.1:9092",
    }
    secrets = {str(tmp_path): {"bind": "/run/secrets", "mode": "ro"}}
    kafka = start(engine, build_image(engine, "kafka", images["base"]), environment=node, volumes=secrets)
    deadline = time.monotonic() + 60
    while kafka.exec_run(["grep", "cluster.id", "/var/lib/kafka/data/meta.properties"])[0] != 0:
        kafka.reload()
        assert kafka.status == "running", kafka.logs().decode()
        assert time.monotonic() < deadline, kafka.logs().decode()
        time.sleep(0.5)
    _, output = kafka.exec_run(["cat", "/var/lib/kafka/data/meta.properties"])
    assert "cluster.id=-pUoiDlHRTOKXZ6eov-HVA" in output.decode()

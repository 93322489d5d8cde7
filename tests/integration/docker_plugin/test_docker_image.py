"""Images on a real engine: built, taken, pulled, removed."""

import subprocess
from pathlib import Path

import docker
import grpc
import pytest

from tests.integration.docker_plugin.harness import (
    IMAGE,
    LABEL,
    LABEL_VALUE,
    Plugin,
    details,
)

pytestmark = pytest.mark.engine


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

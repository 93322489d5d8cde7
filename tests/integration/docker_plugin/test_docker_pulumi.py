"""The plugin under Pulumi itself, with the SDK as it is."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.integration.docker_plugin.harness import (
    IMAGE,
    LABEL,
    LABEL_VALUE,
    LAUNCHER,
    ROOT,
)

pytestmark = pytest.mark.engine


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

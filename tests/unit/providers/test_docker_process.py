"""The plugin as a process: how it starts, and that it ends with the Pulumi that started it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from providers.docker.answers import sealed_settings
from providers.docker.wire import SECRET, SIGNATURE, from_wire, to_wire

LAUNCHER = Path(__file__).resolve().parents[3] / "providers/docker/pulumi-resource-docker"
NOBODY = "127.0.0.1:1"
"""An engine's address where nobody listens: a message that cannot be delivered must not matter."""


def test_it_says_who_starts_it() -> None:
    ended = subprocess.run([LAUNCHER], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == (
        "pulumi-resource-docker: is started by Pulumi, with the engine's address — run 'pulumi up'\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_through_a_link_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    link = tmp_path / "pulumi-resource-docker"
    link.symlink_to(LAUNCHER)
    with subprocess.Popen([link, NOBODY], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            assert stub.GetPluginInfo(provider_pb2.ConfigureRequest(), timeout=30).version == "5.2.0"
            program = {"taskSpec": {"containerSpec": {"image": "app", "commands": "sleep"}}}
            urn = "urn:pulumi:test::test::docker:index/service:Service::web"
            request = provider_pb2.CheckRequest(urn=urn, news=to_wire(program), randomSeed=b"seed")
            found = from_wire(stub.Check(request, timeout=30).inputs)
            assert found["taskSpec"]["containerSpec"]["commands"] == ["sleep"]
            assert found["name"].startswith("web-")
        process.send_signal(number)
        assert process.wait(30) == 0


def test_it_ends_when_pulumi_was_killed() -> None:
    command = f"'{LAUNCHER}' {NOBODY} & echo pid $!; wait"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) as pulumi:
        assert pulumi.stdout is not None
        # Whichever of them is first: what the shell says, and the plugin's port.
        (_, pid), (port,) = sorted((pulumi.stdout.readline().split() for _ in range(2)), key=len, reverse=True)
        plugin = int(pid)
        assert int(port) > 0
        pulumi.kill()
        end = time.monotonic() + 60
        while Path(f"/proc/{plugin}").exists() and time.monotonic() < end:
            time.sleep(0.1)
        gone = not Path(f"/proc/{plugin}").exists()
        if not gone:
            os.kill(plugin, signal.SIGKILL)
        assert gone


def test_passwords_of_registries_are_a_secret_of_the_provider() -> None:
    sealed = sealed_settings(to_wire({"host": "h", "registryAuth": '[{"address":"a","password":"p"}]'}))
    assert sealed["registryAuth"][SIGNATURE] == SECRET
    assert sealed["host"] == "h"
    assert sealed_settings(to_wire({"registryAuth": "[]"}))["registryAuth"] == "[]"

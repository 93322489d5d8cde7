"""The docker plugin as Pulumi drives it: its process, its gRPC face, the messages it sends; and what it is tried on."""

import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import grpc
import pytest
from docker.errors import APIError
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2

from providers.docker.wire import from_wire, to_wire
from tests.integration import removal

ROOT = Path(__file__).resolve().parents[3]
LAUNCHER = ROOT / "providers/docker/pulumi-resource-docker"
LABEL, LABEL_VALUE = "dynoform.test", "docker-plugin"
LABELS = [{"label": LABEL, "value": LABEL_VALUE}]
FILTER = {"label": f"{LABEL}={LABEL_VALUE}"}
IMAGE = "dynoform-test/docker-plugin:1"
TIMEOUT = 120.0

RESTART = {"condition": "any", "delay": "1s", "window": "0s"}
CONVERGE = {"delay": "100ms", "timeout": "30s"}
C = "taskSpec.containerSpec"

Values = dict[str, Any]


class Messages(engine_pb2_grpc.EngineServicer):
    """The Pulumi engine's ear."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def Log(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802 - the protocol's name
        self.lines.append(request.message)
        return empty_pb2.Empty()


@dataclass
class Made:
    """A resource as the state has it."""

    urn: str
    id: str
    inputs: Values
    outputs: Values


@dataclass
class Plugin:
    """Calls of the protocol, with plain values."""

    stub: Any
    messages: Messages
    seed: int = field(default=0)

    def urn(self, kind: str, name: str) -> str:
        module = kind[0].lower() + kind[1:]
        return f"urn:pulumi:test::dynoform::docker:index/{module}:{kind}::{name}"

    def check(self, kind: str, name: str, program: Mapping[str, Any], olds: Mapping[str, Any] | None = None) -> Any:
        self.seed += 1
        return self.stub.Check(
            provider_pb2.CheckRequest(
                urn=self.urn(kind, name),
                olds=to_wire(olds or {}),
                news=to_wire(program),
                randomSeed=os.urandom(8),
            ),
            timeout=TIMEOUT,
        )

    def inputs(self, kind: str, name: str, program: Mapping[str, Any], olds: Mapping[str, Any] | None = None) -> Values:
        answer = self.check(kind, name, program, olds)
        assert list(answer.failures) == []
        return from_wire(answer.inputs)

    def create(self, kind: str, name: str, program: Mapping[str, Any], *, preview: bool = False) -> Made:
        inputs = self.inputs(kind, name, program)
        request = provider_pb2.CreateRequest(urn=self.urn(kind, name), properties=to_wire(inputs), preview=preview)
        answer = self.stub.Create(request, timeout=TIMEOUT)
        return Made(request.urn, answer.id, inputs, from_wire(answer.properties))

    def diff(self, made: Made, program: Mapping[str, Any]) -> Any:
        kind, name = made.urn.split(":")[-3], made.urn.split(":")[-1]
        news = self.inputs(kind, name, program, made.inputs)
        request = provider_pb2.DiffRequest(id=made.id, urn=made.urn, olds=to_wire(made.outputs), news=to_wire(news))
        return self.stub.Diff(request, timeout=TIMEOUT)

    def changes(self, made: Made, program: Mapping[str, Any]) -> list[str]:
        return sorted(self.diff(made, program).detailedDiff)

    def update(self, made: Made, program: Mapping[str, Any]) -> Made:
        kind, name = made.urn.split(":")[-3], made.urn.split(":")[-1]
        news = self.inputs(kind, name, program, made.inputs)
        request = provider_pb2.UpdateRequest(
            id=made.id,
            urn=made.urn,
            olds=to_wire(made.outputs),
            old_inputs=to_wire(made.inputs),
            news=to_wire(news),
        )
        answer = self.stub.Update(request, timeout=TIMEOUT)
        return Made(made.urn, made.id, news, from_wire(answer.properties))

    def read(self, made: Made) -> Made:
        request = provider_pb2.ReadRequest(
            id=made.id, urn=made.urn, properties=to_wire(made.outputs), inputs=to_wire(made.inputs)
        )
        answer = self.stub.Read(request, timeout=TIMEOUT)
        return Made(made.urn, answer.id, from_wire(answer.inputs), from_wire(answer.properties))

    def imported(self, kind: str, identifier: str) -> Made:
        return self.read(Made(self.urn(kind, "imported"), identifier, {}, {}))

    def delete(self, made: Made) -> None:
        request = provider_pb2.DeleteRequest(id=made.id, urn=made.urn, properties=to_wire(made.outputs))
        self.stub.Delete(request, timeout=TIMEOUT)


def partial(error: grpc.RpcError) -> provider_pb2.ErrorResourceInitFailed:
    """What an error says of a resource that exists nevertheless."""
    trailer = dict(error.trailing_metadata())["grpc-status-details-bin"]
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(trailer).details[0].Unpack(detail)
    return detail


@contextmanager
def plugin(settings: Mapping[str, str] | None = None, directory: Path | None = None) -> Iterator[Plugin]:
    """A configured plugin process, started in ``directory``."""
    messages = Messages()
    ear = grpc.server(futures.ThreadPoolExecutor(4))
    engine_pb2_grpc.add_EngineServicer_to_server(messages, ear)
    address = f"127.0.0.1:{ear.add_insecure_port('127.0.0.1:0')}"
    ear.start()
    process = subprocess.Popen([LAUNCHER, address], stdout=subprocess.PIPE, text=True, cwd=directory or ROOT)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Configure(provider_pb2.ConfigureRequest(args=to_wire(settings or {})), timeout=TIMEOUT)
            yield Plugin(stub, messages)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()  # type: ignore[union-attr]
        ear.stop(None)


def build_image(engine: docker.APIClient) -> None:
    """``IMAGE``: the host's own sh, sleep, cat and false with their libraries; nothing has to be downloaded."""
    programs = ["/bin/sh", "/bin/sleep", "/bin/cat", "/bin/false"]
    listed = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    libraries = {word for word in listed.split() if word.startswith("/") and not word.endswith(":")}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in {*programs, *libraries}:
            archive.add(os.path.realpath(path), path.lstrip("/"), recursive=False)
    repository, tag = IMAGE.split(":")
    changes = [f"LABEL {LABEL}={LABEL_VALUE}"]
    engine.import_image_from_data(buffer.getvalue(), repository=repository, tag=tag, changes=changes)


def clean(engine: docker.APIClient) -> None:
    """Removes what carries the tests' label; containers and networks of a service go a moment after it."""
    for service in engine.services(filters=FILTER):
        engine.remove_service(service["ID"])
    for secret in engine.secrets(filters=FILTER):
        engine.remove_secret(secret["ID"])
    for config in engine.configs(filters=FILTER):
        engine.remove_config(config["ID"])
    for image in engine.images(filters=FILTER):
        for container in engine.containers(all=True, filters={"ancestor": image["Id"]}):
            with suppress(APIError):
                engine.remove_container(container["Id"], force=True)
    for network in engine.networks(filters=FILTER):
        removal.persist(engine.remove_network, network["Id"])
    for volume in engine.volumes(filters=FILTER)["Volumes"] or ():
        removal.persist(engine.remove_volume, volume["Name"])
    for image in engine.images(filters=FILTER):
        with suppress(APIError):
            engine.remove_image(image["Id"], force=True)


@contextmanager
def meanwhile(work: Any) -> Iterator[None]:
    """Repeats ``work`` in another thread while the block runs."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(0.02):
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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

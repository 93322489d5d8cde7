"""The provider as the engine meets it, over gRPC."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from providers.dynoform.engine import Operation
from providers.dynoform.errors import PartialError, ProviderError
from providers.dynoform.password import Password
from providers.dynoform.resource import Resource, Values
from providers.dynoform.servicer import Servicer
from providers.dynoform.values import SECRET, SIGNATURE, UNKNOWN, from_wire, to_wire
from tests.unit.providers.conftest import Lines

ROOT = Path(__file__).resolve().parents[3]


class Half(Resource):
    """Always fails half-way."""

    required: ClassVar = {"token": str}

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        operation.status("makes the first half")
        raise PartialError(ProviderError("half", "the second half fails", "try again"), "id-1", {**inputs, "done": 1})


def urn(kind: str) -> str:
    return f"urn:pulumi:test::dynoform::dynoform:index:Parent$dynoform:index:{kind}::name"


@pytest.fixture
def stub(lines: Lines) -> Iterator[Any]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = Servicer({"Password": Password(), "Half": Half()}, lines)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(None).wait()


def test_check_fills_in_defaults_and_names_what_is_wrong(stub: Any) -> None:
    good = stub.Check(provider_pb2.CheckRequest(urn=urn("Password"), news=to_wire({})))
    assert from_wire(good.inputs).values == {"length": 32, "encoding": "alphanumeric", "keepers": {}}
    bad = stub.Check(provider_pb2.CheckRequest(urn=urn("Password"), news=to_wire({"length": 1})))
    assert [(each.property, each.reason) for each in bad.failures] == [("length", "is 1 — use 12 to 256 characters")]


def test_preview_makes_nothing_and_leaves_outputs_unknown(stub: Any) -> None:
    inputs = to_wire({"length": 32, "encoding": "alphanumeric", "keepers": {}})
    answer = stub.Create(provider_pb2.CreateRequest(urn=urn("Password"), properties=inputs, preview=True))
    assert not answer.id
    assert from_wire(answer.properties).values["value"] is UNKNOWN


def test_outputs_are_secret_whether_or_not_inputs_were(stub: Any) -> None:
    inputs = to_wire({"length": 32, "encoding": "alphanumeric", "keepers": {"epoch": "1"}}, {"keepers"})
    answer = stub.Create(provider_pb2.CreateRequest(urn=urn("Password"), properties=inputs))
    assert from_wire(answer.properties).secret == {"value", "keepers"}
    read = stub.Read(provider_pb2.ReadRequest(id="name", urn=urn("Password"), properties=answer.properties))
    assert read.properties == answer.properties


def test_unknown_input_may_be_a_change(stub: Any) -> None:
    olds = to_wire({"length": 32, "encoding": "alphanumeric", "keepers": {"epoch": "1"}, "value": "x"})
    news = to_wire({"length": 32, "encoding": "alphanumeric", "keepers": {"epoch": UNKNOWN}})
    request = provider_pb2.DiffRequest(id="name", urn=urn("Password"), olds=olds, news=news)
    assert list(stub.Diff(request).replaces) == ["keepers"]
    request.ignoreChanges.append("keepers")
    assert stub.Diff(request).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_half_made_resource_goes_to_the_state_with_its_secrets(stub: Any, lines: Lines) -> None:
    request = provider_pb2.CreateRequest(urn=urn("Half"), properties=to_wire({"token": "s3cret"}, {"token"}))
    with pytest.raises(grpc.RpcError) as caught:
        stub.Create(request)
    error: Any = caught.value
    assert error.details() == "half: the second half fails — try again"
    assert lines.status == ["makes the first half"]
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert detail.id == "id-1"
    assert from_wire(detail.properties).values == {"token": "s3cret", "done": 1}
    assert detail.properties["token"][SIGNATURE] == SECRET
    assert detail.inputs["token"][SIGNATURE] == SECRET


def test_unknown_kind_is_named(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(provider_pb2.CheckRequest(urn=urn("Nothing"), news=to_wire({})))
    error: Any = caught.value
    assert error.details() == "dynoform:index:Nothing: this provider has no such resource"


def test_plugin_starts_tells_its_port_and_ends_when_told() -> None:
    command = [ROOT / "providers/dynoform/pulumi-resource-dynoform", "127.0.0.1:1"]
    environment = {"PATH": "/usr/bin:/bin", "DYNOFORM_PYTHON": sys.executable}
    with subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.PIPE, text=True) as plugin:
        assert plugin.stdout is not None
        port = int(plugin.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            info = provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(empty_pb2.Empty(), timeout=60)
        assert info.version
        plugin.terminate()
        assert plugin.wait(60) == 0


def test_reserved_words_of_the_wire_are_those_of_the_sdk() -> None:
    assert to_wire({"x": UNKNOWN})["x"] == rpc.UNKNOWN

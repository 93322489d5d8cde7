"""Whether a program is the plugin that it says it is: it is started as Pulumi does, and asked for its version.

Protocol: a plugin prints its port on standard output and serves gRPC there; ``GetPluginInfo`` of providers and language
hosts alike answers with the version (https://github.com/pulumi/pulumi/tree/master/proto/pulumi).
"""

import json
import select
import subprocess
from pathlib import Path

from dynoform.cli.process import end

PROVIDER = "pulumirpc.ResourceProvider"
LANGUAGE_HOST = "pulumirpc.LanguageRuntime"
SECONDS = 20
NOBODY = "127.0.0.1:1"
"""The engine's address that a plugin wants to be given; it is not called before there is something to do."""


def version(program: Path, service: str) -> str | None:
    """The version of the plugin `program`, which serves `service`; None for what does not run or is no such plugin."""
    try:
        process = subprocess.Popen(  # noqa: S603 a program that we have just installed
            [program, NOBODY], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except OSError:
        return None
    with process:
        try:
            return _asked(_port(process), service)
        finally:
            end(process, grace=3)


def _port(process: "subprocess.Popen[str]") -> int | None:
    assert process.stdout is not None  # noqa: S101 we asked for a pipe
    ready, _, _ = select.select([process.stdout], [], [], SECONDS)
    line = process.stdout.readline().strip() if ready else ""
    return int(line) if line.isdecimal() and int(line) < 65536 else None


def _asked(port: int | None, service: str) -> str | None:
    if port is None:
        return None
    # Hundreds of milliseconds to import, and needed once for each plugin.
    import grpc
    from google.protobuf import empty_pb2
    from pulumi.runtime.proto import plugin_pb2

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(
            f"/{service}/GetPluginInfo",
            request_serializer=empty_pb2.Empty.SerializeToString,
            response_deserializer=plugin_pb2.PluginInfo.FromString,
        )
        try:
            return str(ask(empty_pb2.Empty(), timeout=SECONDS, wait_for_ready=True).version)
        except (grpc.RpcError, ValueError):
            return None


def identity(program: Path) -> list[int] | None:
    """What tells a file from one that replaced it; None when there is none."""
    try:
        found = program.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def is_known(program: Path, record: Path) -> bool:
    """Whether `record` says that this very file was found to be good."""
    try:
        return bool(json.loads(record.read_text(encoding="utf-8")) == identity(program) is not None)
    except (OSError, ValueError):
        return False


def note(program: Path, record: Path) -> None:
    """Writes into `record` that `program` is good."""
    record.write_text(json.dumps(identity(program)), encoding="utf-8")

"""Records what a component declares: type, name, parent, inputs, and which inputs are secret."""

import asyncio
import gc
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc, stack

TREES = Path(__file__).parent / "trees"
SECRET = "[secret]"
FACTS = {
    "docker_root": "/var/lib/docker",
    "host_network_id": "host-network-id",
    "dyno_network_id": "dyno-network-id",
    "platform_network_id": "platform-network-id",
    "base_image": "dynoform/debian:13-0123456789ab",
}
OUTPUTS: dict[str, dict[str, Any]] = {
    "dynoform:index:Playbook": {"facts": FACTS},
    "dynoform:index:Password": {"value": "a-password"},
    "dynoform:index:CertificateAuthority": {"certPem": "a-certificate", "keyPem": "a-key"},
    "dynoform:index:Certificate": {"certPem": "a-certificate", "keyPem": "a-key"},
    "dynoform:index:App": {"webUrl": "http://app.localhost:8080/", "release": 1},
}
# Change with every edit of the files they are made from: the tree is about what is declared, not about these.
HASHES = {"contentHash", "sourceHash", "recipe"}


class Recorder(pulumi.runtime.Mocks):
    """Answers like an engine that creates everything at once, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.resources: list[dict[str, Any]] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = {key: _readable(value) for key, value in sorted(args.inputs.items())}
        self.resources.append({"type": args.typ, "name": args.name, "inputs": inputs})
        return f"{args.name}-id", {
            **args.inputs,
            "name": args.inputs.get("name", args.name),
            **OUTPUTS.get(args.typ, {}),
        }

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"no component calls functions, but {args.token} was")


def _readable(value: Any) -> Any:
    if isinstance(value, dict):
        if rpc._special_sig_key in value:
            return SECRET
        return {key: "[hash]" if key in HASHES else _readable(each) for key, each in sorted(value.items())}
    return [_readable(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def declare() -> Callable[[Callable[[], None]], list[dict[str, Any]]]:
    """Run a program under mocks; gives the resources it declared, sorted by type and name."""

    def run(program: Callable[[], None]) -> list[dict[str, Any]]:
        recorder = Recorder()
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        pulumi.runtime.set_mocks(recorder, project="dynoform", stack="local", preview=False)
        try:
            loop.run_until_complete(stack.run_pulumi_func(program))
        finally:
            loop.close()
            asyncio.set_event_loop(None)
            with warnings.catch_warnings():
                # The SDK opens event loops under its mocks and leaves them to the garbage collector.
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
        return sorted(recorder.resources, key=lambda each: (each["type"], each["name"]))

    return run


@pytest.fixture
def same_as_recorded(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Compare with ``trees/<name>.json``; ``--record`` writes it instead."""

    def compare(name: str, tree: Any) -> None:
        path = TREES / f"{name}.json"
        text = json.dumps(tree, indent=1, sort_keys=True) + "\n"
        if request.config.getoption("--record"):
            path.write_text(text)
        assert text == path.read_text(), f"{path.name} differs: read the change, then run pytest --record"

    return compare

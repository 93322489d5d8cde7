"""Runs the Pulumi program under mocks, in a process of its own, and prints what it declares as JSON.

Usage: ``python -m tests.components.recorder [exports|instance]``, the configuration as JSON on standard input; with
``exports`` it prints what the program exports instead, with ``instance`` it runs the program of add-ons. In a
process of its own, because the SDK keeps global state and leaves event loops open under its mocks.
"""

import asyncio
import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import config, rpc, stack

ROOT = Path(__file__).resolve().parents[2]
SECRET = "[secret]"
SECRETS = ("dynoform:acmeAccountKey", "dynoform:backupRepositoryKey")
"""What of a configuration is encrypted."""
DATA = ("postgres-ha", "valkey", "kafka")
"""Images of what may be on hosts that are marked for data."""
IMAGE = re.compile(r"^(dynoform/[a-z0-9-]+):[0-9a-f]{12}$")
FACTS = {
    "docker_root": "/var/lib/docker",
    "docker_client": "/usr/bin/docker",
    "host_network_id": "host-network-id",
    "dyno_network_id": "dyno-network-id",
    "platform_network_id": "platform-network-id",
    "images": {
        noun: f"10.0.0.1:7400/platform/{noun}:0123456789ab"
        for noun in ("router", "log-agent", "control-plane", "stack-13", "stack-13-build", *DATA)
    },
    "base_image": "dynoform/debian:13-0123456789ab",
}
OUTPUTS: dict[str, dict[str, Any]] = {
    "dynoform:index:Playbook": {"facts": FACTS},
    "dynoform:index:Password": {"value": "a-password"},
    "dynoform:index:CertificateAuthority": {"certPem": "a-certificate", "keyPem": "a-key"},
    "dynoform:index:Certificate": {"certPem": "a-certificate", "keyPem": "a-key"},
    "dynoform:index:Ec2Network": {
        "vpcId": "vpc-1",
        "subnetIds": {f"eu-central-1{letter}": f"subnet-{letter}" for letter in "abc"},
        "groupIds": {name: f"sg-{name}" for name in ("host", "manager", "platform", "router", "balancer")},
    },
    "dynoform:index:Ec2KeyPair": {"keyName": "a-key-pair"},
    "dynoform:index:Ec2InstanceProfile": {"profileName": "a-profile"},
    "dynoform:index:Ec2Host": {"instanceId": "i-1", "address": "198.51.100.1"},
    "dynoform:index:Ec2LoadBalancer": {"dnsName": "balancer.example.com"},
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
        by = {"provider": args.provider.split("::")[-2]} if args.provider else {}
        self.resources.append({"type": args.typ, "name": args.name, "inputs": inputs, **by})
        return f"{args.name}-id", {
            **args.inputs,
            "name": args.inputs.get("name", args.name),
            **OUTPUTS.get(args.typ, {}),
        }

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"no component calls functions, but {args.token} was")


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return IMAGE.sub(r"\1:[hash]", value)
    if isinstance(value, dict):
        if rpc._special_sig_key in value:
            return SECRET
        return {key: "[hash]" if key in HASHES else _readable(each) for key, each in sorted(value.items())}
    return [_readable(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Record the program with the configuration on standard input."""
    exported: dict[str, Any] = {}

    def export(name: str, value: Any) -> None:
        pulumi.Output.from_input(value).apply(lambda known: exported.__setitem__(name, known))

    pulumi.export = export
    program = ROOT / "__main__.py"
    if "instance" in sys.argv:
        program = ROOT / "components/addons/instance/__main__.py"
        os.environ["DYNOFORM_INSTANCE"] = sys.stdin.read()
    else:
        given = json.load(sys.stdin)
        config.set_all_config(given, [key for key in given if key in SECRETS])
    recorder = Recorder()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(recorder, project="dynoform", stack="local", preview=False)
    loop.run_until_complete(stack.run_pulumi_func(lambda: runpy.run_path(str(program))))  # type: ignore[arg-type, return-value]
    if "exports" in sys.argv:
        json.dump(exported, sys.stdout)
        return
    json.dump(sorted(recorder.resources, key=lambda each: (each["type"], each["name"])), sys.stdout)


if __name__ == "__main__":
    main()

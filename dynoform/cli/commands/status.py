"""``status``: what runs, where, with how much memory."""

import argparse
from typing import Any

from dynoform.cli import running, trust
from dynoform.cli.commands import shared
from dynoform.cli.console import table
from dynoform.cli.context import Context
from dynoform.cli.engine import connect
from dynoform.cli.stack import Stack
from dynoform.cli.tools import pulumi_cli
from dynoform.errors import DynoformError


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `status` can be told."""
    shared.add_stack(parser)
    shared.add_json(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command. The exit code is 1 when something that should run does not."""
    stack = context.stack(options.stack)
    found = collect(context, stack)
    if options.json:
        shared.print_json(context.console, found)
    else:
        context.console.result(render(found))
    return 0 if found["healthy"] else 1


def collect(context: Context, stack: Stack) -> dict[str, Any]:
    """Everything `status` shows, as plain values; what cannot be asked is in ``problems``."""
    found: dict[str, Any] = {"stack": stack.name, "services": [], "apps": [], "hosts": []}
    found |= {"problems": [], "versions": {}}
    outputs: dict[str, Any] = {}
    try:
        if stack.certainly_absent():
            raise stack.absent()
        shared.bring_tools(context)
        outputs = stack.outputs()
    except DynoformError as error:
        found["problems"].append(str(error))
    cli = pulumi_cli.installed(context.places)
    found["versions"]["pulumi"] = cli.version if cli else None
    with connect(stack) as engine:
        if engine is None:
            found["problems"].append("Docker engine: does not answer — bin/dynoform doctor")
        else:
            found["versions"]["docker"] = engine.client.version().get("Version")
            found["services"] = [service.as_json() for service in running.services(engine)]
    found["api"] = outputs.get("apiUrl")
    if outputs.get("apiUrl"):
        trust.write(stack, outputs)
        _ask_api(stack, outputs, found)
    found["problems"] += [f"host {host['name']}: {host['problem']}" for host in found["hosts"] if host["problem"]]
    for service in found["services"]:
        if service["running"] < service["wanted"]:
            missing = f"{service['running']} of {service['wanted']} run"
            found["problems"].append(f"{service['name']}: {missing} — docker service ps {service['name']}")
    found["memory_bytes"] = sum(service["memory_bytes"] for service in found["services"])
    found["healthy"] = not found["problems"]
    return found


def _ask_api(stack: Stack, outputs: dict[str, Any], found: dict[str, Any]) -> None:
    try:
        api = running.Api(outputs["apiUrl"], str(outputs.get("apiKey", "")), trust.needed(stack, outputs))
        found["apps"] = api.apps()
        found["hosts"] = api.every("/dynoform/hosts")
        found["stack_images"] = api.every("/dynoform/stack-images")
    except OSError as error:
        found["problems"].append(f"API {outputs['apiUrl']}: {error} — bin/dynoform doctor --stack {stack.name}")


def render(found: dict[str, Any]) -> str:
    """The answer for people."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()) if version)
    parts = [f"stack {found['stack']}  API {found['api'] or '-'}  {versions}"]
    if found["services"]:
        rows = [["SERVICE", "RUNNING", "UP", "MEMORY", "IMAGE"]]
        rows += [_service_row(service) for service in found["services"]]
        rows.append(["total", "", "", _mebibytes(found["memory_bytes"]), ""])
        parts.append(table(rows))
    if found["hosts"]:
        rows = [["HOST", "STATE", "DYNOS", "LOAD", "FREE MEMORY", "FREE DISK"]]
        parts.append(table([*rows, *(_host_row(host) for host in found["hosts"])]))
    if found["apps"]:
        parts.append(table([["APP", "DYNOS", "ADDRESS"], *(_app_row(app) for app in found["apps"])]))
    parts += [_image_line(found["stack"], image) for image in found.get("stack_images", []) if image["kind"] == "run"]
    parts += [f"! {problem}" for problem in found["problems"]]
    return "\n\n".join(parts)


def _service_row(service: dict[str, Any]) -> list[str]:
    up = service["uptime_seconds"]
    running = f"{service['running']}/{service['wanted']}"
    return [service["name"], running, _age(up), _mebibytes(service["memory_bytes"]), service["image"]]


def _host_row(host: dict[str, Any]) -> list[str]:
    if host["reported_at"] is None:
        return [host["name"], host["state"], "-", "-", "-", "-"]
    free = [_mebibytes(host["free_memory_bytes"]), _mebibytes(host["free_disk_bytes"])]
    return [host["name"], host["state"], str(host["dynos"]), f"{host['load']:.2f}", *free]


def _image_line(stack: str, image: dict[str, Any]) -> str:
    """What apps run on, and whether Debian has updates for it."""
    base = f"apps run on {image['stack']}, image {image['version']}"
    if image["problem"]:
        return f"{base}: {image['problem']}"
    if image["updates"] is None:
        return f"{base}: not asked for updates yet"
    if not image["updates"]:
        return f"{base}: no updates"
    security = sum(update["security"] for update in image["updates"])
    names = f"{len(image['updates'])} packages have updates, {security} of them from Debian's security archive"
    return f"{base}: {names} — bin/dynoform patch --stack {stack}"


def _app_row(app: dict[str, Any]) -> list[str]:
    dynos = " ".join(f"{dyno['name']}:{dyno['state']}" for dyno in app["dynos"]) or "none"
    return [app["name"], dynos, app["web_url"] or "-"]


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

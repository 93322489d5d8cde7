"""``restore``: makes a stack again from a backup, on an empty host.

Killed at any moment, it goes on when it is run again with the same file: a mark in the stack's directory says how far
it was. The platform is made first, with the secrets that it had and no apps; then its store and volumes are filled
while nothing of it runs; then its apps are declared again, as what they were.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dynoform.cli import contents, convergence, recovery, settings
from dynoform.cli.archive import Reader
from dynoform.cli.commands import backup, shared, up
from dynoform.cli.commands.backup import counted
from dynoform.cli.console import Console
from dynoform.cli.context import Context
from dynoform.cli.engine import Engine, connect, local
from dynoform.cli.places import CHECKOUT, PROJECT
from dynoform.cli.stack import Stack
from dynoform.errors import ConflictError, DynoformError

SECRETS = ("dynoform:index:Password", "dynoform:index:CertificateAuthority", "dynoform:index:Certificate")
"""What a stack has in its state alone: passwords, keys, certificates."""
APP = "dynoform:index:App"
MARK = "restoring"
BEGUN, MADE, FILLED = "begun", "made", "filled"
"""How far a restore was: the platform is to be made, it is there and to be filled, it is to run."""
Pieces = Iterator[tuple[str, Iterator[bytes]]]
_MIGRATIONS = CHECKOUT / "dynoform" / "store" / "migrations" / "versions"
_DECLARED = f"{PROJECT}:apps"
_ENDED = "nothing was changed"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `restore` can be told."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what bin/dynoform backup has written")
    parser.add_argument("--backend", metavar="URL", help="where the state is kept: file://, s3:// or postgres://")
    shared.add_json(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command."""
    began = time.monotonic()
    with _opened(options.file) as stream:
        manifest = _checked(context, stream, options.file)
    stack = context.stack(manifest["stack"], options.backend)
    with recovery.claim(stack), _opened(options.file) as stream:
        _check_empty(stack, manifest)
        pieces = _reader(context, stream, options.file).pieces()
        _document(pieces, "manifest")
        _make(context, stack, manifest, pieces)
    made = manifest["made"][:19].replace("T", " ")
    context.console.line(f"✓ {stack.name}: as it was at {made} UTC", "good")
    if options.json:
        told = {"stack": stack.name, "made": manifest["made"], "seconds": round(time.monotonic() - began, 1)}
        shared.print_json(context.console, told)
    else:
        option = "" if stack.name == "local" else f" --stack {stack.name}"
        context.console.result(f"Databases of apps come back one by one: bin/dynoform status{option}")
    return 0


def kept(deployment: dict[str, Any]) -> dict[str, Any]:
    """A state with nothing in it but secrets: what they belong to on the host is no more."""
    by_urn = _by_urn(deployment)
    wanted: set[str] = set()
    for each in by_urn.values():
        if each["type"] in SECRETS:
            wanted.add(_provider(each))
            urn = each["urn"]
            while urn and urn not in wanted:
                wanted.add(urn)
                urn = by_urn.get(urn, {}).get("parent", "")
    found = [_alone(each, wanted) for urn, each in by_urn.items() if urn in wanted]
    return {**deployment, "resources": found, "pending_operations": []}


def with_apps(deployment: dict[str, Any], archived: dict[str, Any]) -> dict[str, Any]:
    """A state in which the declared apps are what they were: they are in the store, and are not built anew."""
    there = _by_urn(deployment)
    found = list(deployment.get("resources") or ())
    for urn, each in _by_urn(archived).items():
        provider = there.get(_provider(each))
        if each["type"] == APP and urn not in there and each.get("parent", "") in there and provider:
            found.append(_alone({**each, "provider": f"{provider['urn']}::{provider['id']}"}, set(there)))
    return {**deployment, "resources": found}


def _by_urn(deployment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Resources in their order, without those that wait to be deleted."""
    return {each["urn"]: each for each in deployment.get("resources") or () if not each.get("delete")}


def _provider(resource: dict[str, Any]) -> str:
    return str(resource.get("provider") or "").rpartition("::")[0]


def _alone(resource: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """A resource that depends on what is kept alone."""
    found = dict(resource)
    if "dependencies" in found:
        found["dependencies"] = [urn for urn in found["dependencies"] if urn in wanted]
    if "propertyDependencies" in found:
        found["propertyDependencies"] = {
            name: [urn for urn in urns or () if urn in wanted] for name, urns in found["propertyDependencies"].items()
        }
    if found.get("deletedWith") not in wanted:
        found.pop("deletedWith", None)
    return found


def _make(context: Context, stack: Stack, manifest: dict[str, Any], pieces: Pieces) -> None:
    text, state = b"".join(_piece(pieces, "configuration")), _document(pieces, "state")
    stack.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole, bare = stack.directory / "restored.yaml", stack.directory / "restored-bare.yaml"
    whole.write_bytes(text)
    bare.write_text(_without_apps(text), encoding="utf-8")
    known = settings.load(context.places.root, stack.name, whole)
    stage = _mark(stack).get("stage")
    if stage not in (MADE, FILLED):
        up.check_host(context, stack, known, bool(stage))
    shared.bring_tools(context)
    if stage not in (MADE, FILLED):
        _note(stack, manifest, BEGUN)
        stack.config_file.write_bytes(text)  # for what its secrets are encrypted with
        stack.create(settings.load(context.places.root, stack.name, bare))
        if not stack.deployment().get("resources"):
            _edit(stack, kept(state))
        up.apply(context, stack, bool(stage))
        _note(stack, manifest, MADE)
    if stage != FILLED:
        # Not by `up` from here on: it would have run what is parked over half of the data.
        with _engine(stack) as engine:
            _fill(context.console, engine, stack, manifest, pieces)
        _note(stack, manifest, FILLED)
    with _engine(stack) as engine:
        contents.unpark(engine, stack.name)
        convergence.wait(engine, context.console, changed=True)
    _edit(stack, with_apps(stack.deployment(), state))
    stack.write_config(known)
    up.apply(context, stack, False)
    bare.unlink()
    _settle(context, stack, whole)
    (stack.directory / MARK).unlink()


def _fill(console: Console, engine: Engine, stack: Stack, manifest: dict[str, Any], pieces: Pieces) -> None:
    with console.step("stopping what works on the platform's data"):
        contents.park(engine, stack.name)
    with console.step("writing the platform's store") as step:
        contents.restore(engine, stack.name, counted(step, _piece(pieces, "store")))
    volumes = {each["name"]: each for each in manifest["volumes"]}
    for piece, portions in pieces:
        name = piece.removeprefix("volume ")
        with console.step(f"writing volume {name}") as step:
            contents.write(engine, stack.name, volumes[name], counted(step, portions))


def _settle(context: Context, stack: Stack, whole: Path) -> None:
    """Have the next `up` go by the settings that were in the backup, or say that it will not."""
    place = context.places.root / f"Pulumi.{stack.name}.yaml"
    if not place.exists():
        place.write_bytes(whole.read_bytes())
    elif _config(place.read_bytes()) != _config(whole.read_bytes()):
        text = f"! {place} is not what the stack had, which is {whole}: the next up goes by the former"
        context.console.line(text, "bad")
        return
    whole.unlink()


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        stream = file.open("rb")
    except OSError as error:
        raise DynoformError(str(file), f"cannot be read ({error.strerror})", "name a backup") from None
    with stream:
        yield stream


def _reader(context: Context, stream: Any, file: Path) -> Reader:
    return Reader(stream, backup.passphrase(context.stack("local")), str(file))


def _checked(context: Context, stream: Any, file: Path) -> dict[str, Any]:
    """What is in a backup, of which all was read: half of one, or one for another platform, is to change nothing."""
    pieces = _reader(context, stream, file).pieces()
    manifest = _document(pieces, "manifest")
    _check_version(str(file), manifest)
    with context.console.step("checking the backup") as step:
        for name, portions in pieces:
            for _ in counted(step, portions):
                step.title = f"checking the backup: {name}"
    return manifest


def _check_version(file: str, manifest: dict[str, Any]) -> None:
    known = max(each.name[:4] for each in _MIGRATIONS.glob("[0-9]*.py"))
    if manifest["format"] == backup.FORMAT and manifest["schema"] <= known:
        return
    why = f"was made by a newer version: its store is at {manifest['schema']}, this one knows {known}"
    raise DynoformError(file, why, "restore it with a checkout of that version or a later one")


def _check_empty(stack: Stack, manifest: dict[str, Any]) -> None:
    """Raises `ConflictError` where there is something of that stack already, but for what this restore has made."""
    before = _mark(stack)
    if before.get("id") == manifest["id"]:
        return
    remove = f"bin/dynoform down --purge --stack {stack.name}"
    if before:
        why = f"is half made from the backup of {before.get('made')}, {_ENDED}"
        raise ConflictError(f"stack {stack.name}", why, f"go on with that one, or remove it first: {remove}")
    if stack.state_file and stack.state_file.exists() and stack.deployment().get("resources"):
        raise ConflictError(f"stack {stack.name}", f"is there already, {_ENDED}", f"remove it first: {remove}")
    with local(stack.name) as engine:
        if engine and engine.client.api.volumes(filters=engine.filters()).get("Volumes"):
            why = f"has volumes with data here, {_ENDED}"
            raise ConflictError(f"stack {stack.name}", why, f"remove them first: {remove}")


def _mark(stack: Stack) -> dict[str, Any]:
    """How far a restore was; empty when there was none."""
    try:
        return dict(json.loads((stack.directory / MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _note(stack: Stack, manifest: dict[str, Any], stage: str) -> None:
    fresh = stack.directory / f".{MARK}"
    told = {"id": manifest["id"], "made": manifest["made"], "stage": stage}
    fresh.write_text(json.dumps(told), encoding="utf-8")
    fresh.replace(stack.directory / MARK)


def _edit(stack: Stack, deployment: dict[str, Any]) -> None:
    done = stack.edit(lambda _: deployment)
    if done.code:
        raise DynoformError(f"state of stack {stack.name}", stack.masked(done.last_words), "run it again")


@contextlib.contextmanager
def _engine(stack: Stack) -> Iterator[Engine]:
    with connect(stack) as engine:
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", "run it again")
        yield engine


def _without_apps(text: bytes) -> str:
    """The configuration without the apps that it declares: they are in the store, which is not there yet."""
    found = yaml.safe_load(text) or {}
    config = {name: value for name, value in (found.get("config") or {}).items() if name != _DECLARED}
    return yaml.safe_dump({**found, "config": config})


def _config(text: bytes) -> Any:
    return (yaml.safe_load(text) or {}).get("config")


def _piece(pieces: Pieces, name: str) -> Iterator[bytes]:
    found, portions = next(pieces, ("nothing", iter(())))
    if found != name:
        raise DynoformError("the backup", f"has {found} where {name} should be", "use another one")
    return portions


def _document(pieces: Pieces, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(_piece(pieces, name)))
    return found

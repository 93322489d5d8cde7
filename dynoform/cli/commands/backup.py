"""``backup``: all that a stack is made of again, in one encrypted file."""

import argparse
import contextlib
import datetime
import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dynoform.cli import contents, recovery
from dynoform.cli.archive import Writer
from dynoform.cli.commands import shared
from dynoform.cli.console import Step
from dynoform.cli.context import Context
from dynoform.cli.engine import Engine, connect
from dynoform.cli.stack import Stack
from dynoform.domain.data_services import size
from dynoform.errors import DynoformError

FORMAT = 1
"""Of the pieces in the file; one that is not known is refused."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `backup` can be told."""
    shared.add_stack(parser)
    parser.add_argument("--to", type=Path, metavar="FILE", help="the file to write (STACK-TIME.backup, here)")
    parser.add_argument("--without-slugs", action="store_true", help="leave the registry out: apps are pushed anew")
    parser.add_argument("--without-databases", action="store_true", help="leave what apps' databases have out")
    shared.add_json(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command."""
    stack = context.stack(options.stack)
    if not stack.certainly_absent():
        shared.bring_tools(context)
    moment = datetime.datetime.now(datetime.UTC)
    target: Path = options.to or Path(f"{stack.name}-{moment:%Y%m%dT%H%M%SZ}.backup")
    with recovery.claim(stack):
        if not stack.exists():
            raise stack.absent()
        with connect(stack) as engine:
            if engine is None:
                raise DynoformError("Docker engine", "does not answer", f"bin/dynoform up --stack {stack.name}")
            manifest = _manifest(options, engine, stack, moment)
            with _whole(target) as file:
                sizes = _write(context, stack, engine, manifest, file)
    written = target.stat().st_size
    context.console.line(f"✓ {stack.name}: {size(written)} in {target}", "good")
    if options.json:
        told = {"stack": stack.name, "file": str(target), "bytes": written, "made": manifest["made"], "pieces": sizes}
        shared.print_json(context.console, told)
    else:
        context.console.result(
            f"Keep it elsewhere, and with it the passphrase that it is encrypted with: {where(stack)}"
        )
    return 0


def passphrase(stack: Stack) -> str:
    """The one that the stack's secrets are encrypted with. Raises `DynoformError` when there is none."""
    environment = {**stack.environ, **stack.environment()}
    text = environment.get("PULUMI_CONFIG_PASSPHRASE") or ""
    file = environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if not text and file:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            why = f"cannot be read ({error.strerror})"
            raise DynoformError(file, why, "put the passphrase there that the stack had") from None
    if not text:
        raise DynoformError(str(file), "is empty", "put the passphrase there that the stack had")
    return text


def where(stack: Stack) -> str:
    """Where that passphrase is."""
    environment = {**stack.environ, **stack.environment()}
    if environment.get("PULUMI_CONFIG_PASSPHRASE"):
        return "PULUMI_CONFIG_PASSPHRASE"
    return str(environment.get("PULUMI_CONFIG_PASSPHRASE_FILE"))


def counted(step: Step, portions: Iterable[bytes]) -> Iterator[bytes]:
    """The same, while the step shows how many bytes there were."""
    count = 0
    for portion in portions:
        count += len(portion)
        step.detail = size(count)
        yield portion


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """A file for its owner alone, in its place only once it is whole and on disk."""
    half = target.with_name(f".{target.name}.half")
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        half.replace(target)
    except OSError as error:
        # The engine's connections fail by such errors too.
        if error.errno in _FULL or error.filename == str(half):
            why = f"cannot be written ({error.strerror})"
            raise DynoformError(str(target), why, "make room there, or name another place with --to") from None
        raise
    finally:
        with contextlib.suppress(OSError):
            half.unlink()


def _manifest(options: argparse.Namespace, engine: Engine, stack: Stack, moment: datetime.datetime) -> dict[str, Any]:
    slugs, databases = not options.without_slugs, not options.without_databases
    return {
        "format": FORMAT,
        "id": str(uuid.uuid4()),
        "stack": stack.name,
        "made": moment.isoformat(),
        "schema": contents.schema(engine, stack.name),
        "volumes": contents.volumes(engine, stack.name, slugs=slugs, databases=databases),
    }


def _write(context: Context, stack: Stack, engine: Engine, manifest: dict[str, Any], file: BinaryIO) -> dict[str, int]:
    """All pieces; returns their bytes. The platform goes on: what the store knew of is in the volumes afterwards."""
    writer, sizes = Writer(file, passphrase(stack)), dict[str, int]()
    writer.document("manifest", manifest)
    writer.piece("configuration", [stack.config_file.read_bytes()])
    writer.document("state", stack.deployment())
    with context.console.step("reading the platform's store") as step:
        sizes["store"] = writer.piece("store", counted(step, contents.dump(engine, stack.name)))
    for volume in manifest["volumes"]:
        name = volume["name"]
        with context.console.step(f"reading volume {name}") as step:
            if "redis" in volume:
                contents.save(engine, volume)
            parts = (contents.read(engine, stack.name, name, part) for part in contents.parts(volume))
            sizes[name] = sum(writer.piece(f"volume {name}", counted(step, part)) for part in parts)
    writer.close()
    return sizes

"""``doctor``: what is wrong, and the command that mends it."""

import argparse
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from dynoform.cli import contents, host, isolation, ports, recovery, settings
from dynoform.cli.commands import shared
from dynoform.cli.commands.status import collect
from dynoform.cli.context import Context
from dynoform.cli.engine import Engine, connect
from dynoform.cli.host import Check
from dynoform.cli.settings import StackSettings
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `doctor` can be told."""
    shared.add_stack(parser)
    shared.add_json(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command. The exit code is 1 when a check failed."""
    checks = list(diagnose(context, context.stack(options.stack)))
    if options.json:
        found = [
            {"check": one.name, "ok": one.error is None, "error": str(one.error or ""), "note": one.note}
            for one in checks
        ]
        shared.print_json(context.console, found)
    else:
        for one in checks:
            context.console.result(_line(one))
    return 1 if any(one.error for one in checks) else 0


def _line(check: Check) -> str:
    if check.error:
        return f"✗ {check.name}: {check.error}"
    return f"✓ {check.name}: {check.note}" if check.note else f"✓ {check.name}"


def diagnose(context: Context, stack: Stack) -> Iterator[Check]:
    """All checks: the checkout's tools, the configuration, the host, the stack."""
    yield Check("git", None if shutil.which("git") else DynoformError("git", "is not installed", "apt-get install git"))
    yield _attempt("tools", lambda: shared.bring_tools(context))
    known: list[StackSettings] = []
    yield _attempt("configuration", lambda: known.append(_settings(context, stack)))
    if known:
        with connect(stack) as engine:
            exists = bool(stack.state_file and stack.state_file.exists())
            subject = host.Subject(stack.name, known[0], context.places.data, exists, engine)
            yield from host.checks(subject)
            if not known[0].hosts:
                yield Check("ps:exec", ports.check_exec(stack.name, known[0], engine))
            away = DynoformError("Docker engine", "does not answer", f"bin/dynoform up --stack {stack.name}")
            yield Check("engine", None if engine else away)
            if engine:
                mounts = "" if engine.remote else Path("/proc/mounts").read_text(encoding="utf-8")
                yield from isolation.checks(engine.client.info(), mounts)
                if known[0].text("storeStandby"):
                    yield _attempt("standby", lambda: _standby(stack, engine))
    yield _attempt("state", lambda: _state(stack))
    yield from _platform(context, stack)


def _attempt(name: str, attempt: Callable[[], object]) -> Check:
    try:
        attempt()
    except DynoformError as error:
        return Check(name, error)
    return Check(name, None)


def _settings(context: Context, stack: Stack) -> StackSettings:
    """The checkout's, or where it has none those of the last `up`, which had a file of its own (`--config-file`)."""
    own = context.places.root / f"Pulumi.{stack.name}.yaml"
    return settings.load(context.places.root, stack.name, None if own.exists() else stack.last_config_file())


def _standby(stack: Stack, engine: Engine) -> None:
    found = contents.standby(engine, stack.name)
    if not found["ready"]:
        why = "its standby has not all that is acknowledged" if found["there"] else "its standby does not run"
        next_step = f"see whether the hosts of both do: bin/dynoform status --stack {stack.name}"
        raise DynoformError("the platform's store", why, next_step)


def _state(stack: Stack) -> None:
    pending = recovery.pending_creates(stack.deployment()) if stack.exists() else []
    if pending:
        why = f"a killed run left {len(pending)} creates half-done"
        raise DynoformError(f"stack {stack.name}", why, f"bin/dynoform up --stack {stack.name}")


def _platform(context: Context, stack: Stack) -> Iterator[Check]:
    found = collect(context, stack)
    for service in found["services"]:
        error = None
        if service["running"] < service["wanted"]:
            why = f"{service['running']} of {service['wanted']} run"
            mend = f"docker service ps {service['name']}; bin/dynoform up --stack {stack.name}"
            error = DynoformError(service["name"], why, mend)
        yield Check(f"service {service['name']}", error)
    for problem in found["problems"]:
        if problem.startswith(("API ", "stack ", "host ")):
            what, _, rest = problem.partition(": ")
            why, _, next_step = rest.partition(" — ")
            yield Check("platform", DynoformError(what, why, next_step))

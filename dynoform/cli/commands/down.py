"""``down``: removes a stack. Data volumes stay, and so does its authority, unless ``--purge``."""

import argparse
import shutil
import sys

from dynoform.cli import deploy, drift, leftovers, machines, recovery
from dynoform.cli.commands import shared
from dynoform.cli.console import duration
from dynoform.cli.context import Context
from dynoform.cli.engine import connect
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `down` can be told."""
    shared.add_stack(parser)
    parser.add_argument("--purge", action="store_true", help="remove the data too: volumes, state, certificates")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command."""
    stack = context.stack(options.stack)
    if not stack.certainly_absent():
        shared.bring_tools(context)
    with recovery.claim(stack):
        exists = stack.exists()
        if exists and not stack.state_file:
            recovery.check_free(stack, context.console)
        there = exists and bool(stack.deployment().get("resources"))
        unknown = not there and _has_unknown(stack)
        if (there or unknown or options.purge) and not options.yes:
            _ask(context, stack, options.purge)
        if there and _can_destroy(stack, options.purge):
            leftovers.end_strangers(stack, context.console)
            _destroy(context, stack, options.purge)
        elif unknown and not options.purge:
            _remove_unknown(context, stack)
        elif not there:
            context.console.line(f"{stack.name}: nothing is up")
        if options.purge:
            _purge(context, stack)
    return 0


def _has_unknown(stack: Stack) -> bool:
    """Whether the engine has services of a stack without a state."""
    with connect(stack) as engine:
        return engine is not None and bool(engine.services())


def _remove_unknown(context: Context, stack: Stack) -> None:
    context.console.line(f"{stack.name}: no state knows what is up", "dim")
    with connect(stack) as engine:
        for line in leftovers.removed(stack, engine, context.console, with_data=False) if engine else ():
            context.console.line(f"✓ {line}", "good")


def _ask(context: Context, stack: Stack, with_data: bool) -> None:
    if not sys.stdin.isatty():
        raise DynoformError(f"down of stack {stack.name}", "there is no terminal to ask on", "allow it with --yes")
    what = "and all its data, for good" if with_data else "its data stays"
    context.console.line(f"Remove stack {stack.name} ({what})? [y/N] ", "strong")
    if input().strip().lower() not in ("y", "yes"):
        raise DynoformError(f"down of stack {stack.name}", "was not agreed to, nothing was changed")


def _can_destroy(stack: Stack, with_data: bool) -> bool:
    """Whether Pulumi can: without an engine it cannot remove what is in Docker. A purge then forgets the state instead.

    Raises `DynoformError` when that was not asked for.
    """
    with connect(stack) as engine:
        if engine or not any(one["type"].startswith("docker:") for one in stack.deployment()["resources"]):
            return True
    if not with_data:
        next_step = "start it (service docker start), or forget the stack with --purge"
        raise DynoformError(f"down of stack {stack.name}", "the Docker engine does not answer", next_step)
    return False


def _destroy(context: Context, stack: Stack, with_data: bool) -> None:
    protected = "--ignore-protect" if with_data else "--exclude-protected"
    # --refresh: what was removed by hand already cannot be deleted again.
    words = ["--yes", "--skip-preview", "--refresh", "--suppress-outputs", "--stack", stack.name, protected]
    if stack.config_file.exists():
        words += ["--config-file", str(stack.config_file)]
    drift.unmark(stack)
    outcome = deploy.apply(stack, "destroy", words, context.console)
    deleted = outcome.run.changed.get("delete", 0)
    context.console.line(f"✓ {stack.name}: {deleted} removed ({duration(outcome.seconds)})", "good")


def _purge(context: Context, stack: Stack) -> None:
    with connect(stack) as engine:
        if engine is None:
            leftovers.note(stack)
            context.console.line(
                "! the Docker engine does not answer; what it keeps goes when this, or up, is run again with it"
            )
        for line in leftovers.removed(stack, engine, context.console, with_data=True) if engine else ():
            context.console.line(f"✓ {line}", "good")
    for line in machines.remove_data(stack.other_hosts(), stack.name):
        context.console.line(line, "" if line.startswith("!") else "good")
    if stack.exists():
        done = stack.ask("stack", "rm", stack.name, "--yes", "--force", "--preserve-config")
        if done.code:
            raise DynoformError(f"stack {stack.name}", done.last_words, "bin/dynoform doctor")
    shutil.rmtree(stack.directory, ignore_errors=True)
    context.console.line(f"✓ {stack.name}: state, logs and certificates removed", "good")

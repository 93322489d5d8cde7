"""``up``: checks the host, brings the tools, runs `pulumi up`, tells what to do next."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynoform.cli import convergence, deploy, drift, host, leaving, leftovers, recovery, rehearsal, settings, trust
from dynoform.cli.commands import shared
from dynoform.cli.console import duration
from dynoform.cli.context import Context
from dynoform.cli.engine import connect, local
from dynoform.cli.events import Run
from dynoform.cli.settings import StackSettings
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError, InvalidInputError


class HostError(DynoformError):
    """The host is not fit for the platform; `lines` say why, one each."""

    def __init__(self, lines: list[str]) -> None:
        """`lines` are complete messages."""
        super().__init__("host", f"{len(lines)} checks failed, nothing was changed", "mend that, then run it again")
        self.lines = lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `up` can be told."""
    shared.add_stack(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask before an existing stack is changed")
    parser.add_argument("--preview", action="store_true", help="show what would change, change nothing")
    parser.add_argument("--refresh", action="store_true", help="look at every resource, even without a sign of drift")
    parser.add_argument("--backend", metavar="URL", help="where the state is kept: file://, s3:// or postgres://")
    parser.add_argument("--config-file", type=Path, metavar="FILE", help="instead of Pulumi.S.yaml in the checkout")
    parser.add_argument("--policy-pack", type=Path, metavar="DIR", help="rules that must hold, such as policies")
    parser.add_argument("--policy-pack-config", type=Path, metavar="FILE", help="the rules' limits, as JSON")
    shared.add_json(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command."""
    policies = policy_words(options.policy_pack, options.policy_pack_config)
    stack = context.stack(options.stack, options.backend)
    known = settings.load(context.places.root, stack.name, options.config_file)
    if options.preview and not _prepare(context, stack, known):
        with rehearsal.stand_in(stack, known) as other:
            return _preview(options, context, other, False, policies)
    with recovery.claim(stack):
        existed = _prepare(context, stack, known)
        if existed:
            if not stack.state_file:
                # On this machine the claim keeps others off; on another one only the backend's lock does.
                recovery.check_free(stack, context.console)
            leaving.check(stack, known)
        stack.create(known)
        if not stack.deployment().get("resources"):
            _begin_clean(context, stack)
        away = drift.hosts(stack) if existed and not _engine_answers(stack) else []
        look = not away and (options.refresh or (existed and _drifted(context, stack)))
        if options.preview:
            return _preview(options, context, stack, look, policies)
        if existed and not options.yes and not _agreed(context, stack, look, policies):
            return 0
        if away:
            drift.unmark(stack)
            _bring_engine(context, stack, away)
            look = True
        outcome = apply(context, stack, look, policies)
    _report(options, context, stack, outcome)
    return 0


def apply(context: Context, stack: Stack, look: bool, policies: Sequence[str] = ()) -> deploy.Outcome:
    """Makes the stack as its configuration says, until its services run so; the caller holds `recovery.claim`.

    `look` at every resource first to find what was changed by hand. With `policies`, of `policy_words`, nothing is
    changed before all of it is seen to keep to them. Raises `DynoformError` when that fails.
    """
    if policies:
        _plan(context, stack, look, policies)
    drift.unmark(stack)
    outcome = deploy.apply(stack, "up", ["--yes", "--skip-preview", *words(stack, look), *policies], context.console)
    trust.write(stack, outcome.run.outputs)
    with connect(stack) as engine:
        if engine:
            convergence.wait(engine, context.console, changed=bool(outcome.run.changed))
        drift.mark(stack, engine)
    return outcome


def _prepare(context: Context, stack: Stack, known: StackSettings) -> bool:
    """Checks the host and brings the tools; returns whether the stack is there already."""
    # Whether there is state is asked before Pulumi is there, so only a local backend can be asked.
    check_host(context, stack, known, bool(stack.state_file and stack.state_file.exists()))
    shared.bring_tools(context)
    stack.check_not_moved()
    return stack.exists()


def words(stack: Stack, look: bool) -> list[str]:
    """Words for ``pulumi up`` and ``preview``; `look` at every resource first to find what was changed by hand."""
    common = ["--stack", stack.name, "--config-file", str(stack.config_file), "--suppress-outputs"]
    return [*common, "--skip-plugin-pre-install", *(["--refresh"] if look else [])]


def policy_words(pack: Path | None, config: Path | None) -> list[str]:
    """Words of Pulumi's for a policy pack. Raises `InvalidInputError` for one that is none."""
    if config and not pack:
        raise InvalidInputError(f"--policy-pack-config {config}", "is for a policy pack", "name it with --policy-pack")
    if not pack:
        return []
    if not (pack / "PulumiPolicy.yaml").is_file():
        raise InvalidInputError(f"--policy-pack {pack}", "has no PulumiPolicy.yaml", "name the folder that has it")
    if config and not config.is_file():
        raise InvalidInputError(f"--policy-pack-config {config}", "is not there", "name a file")
    named = ["--policy-pack", str(pack.resolve())]
    return [*named, *(["--policy-pack-config", str(config.resolve())] if config else [])]


def _begin_clean(context: Context, stack: Stack) -> None:
    """Sees that nothing is there before all of it is made: what has a name already cannot be."""
    leftovers.finish_purge(stack, context.console)
    with connect(stack) as engine:
        if engine:
            leftovers.refuse(stack, engine)


def _engine_answers(stack: Stack) -> bool:
    with connect(stack) as engine:
        return engine is not None


def _bring_engine(context: Context, stack: Stack, hosts: list[str]) -> None:
    """Has the hosts made anew first: without an engine nothing else can even be looked at."""
    context.console.line("the Docker engine does not answer: it is brought back first", "dim")
    common = ["--yes", "--skip-preview", "--stack", stack.name, "--config-file", str(stack.config_file)]
    targets = [word for urn in hosts for word in ("--target", urn)]
    # Not `up --refresh`: that would look at all there is, whatever the targets.
    for operation in ("refresh", "up"):
        deploy.apply(stack, operation, [*common, *targets], context.console)


def _drifted(context: Context, stack: Stack) -> bool:
    with connect(stack) as engine:
        why = drift.reason(stack, engine)
    if why:
        context.console.line(f"looking for drift: {why}", "dim")
    return bool(why)


def check_host(context: Context, stack: Stack, known: StackSettings, existed: bool) -> None:
    """Raises `HostError` with every check that failed."""
    with local(stack.name) as engine, context.console.step(f"checking the host{'s' if known.hosts else ''}"):
        subject = host.Subject(stack.name, known, context.places.data, existed, engine)
        lines = [str(check.error) for check in host.checks(subject) if check.error]
    if lines:
        raise HostError(lines)


def _preview(options: argparse.Namespace, context: Context, stack: Stack, look: bool, policies: Sequence[str]) -> int:
    run = _plan(context, stack, look, policies)
    if options.json:
        shared.print_json(context.console, {"stack": stack.name, "changes": run.changed})
    else:
        context.console.result(f"{stack.name}: {_counted(run) or 'no changes'}")
    return 0


def _plan(context: Context, stack: Stack, look: bool, policies: Sequence[str]) -> Run:
    return deploy.apply(stack, "preview", [*words(stack, look), *policies], context.console).run


def _agreed(context: Context, stack: Stack, look: bool, policies: Sequence[str]) -> bool:
    """Shows what an existing stack would change and asks. No terminal means nobody to ask."""
    plan = _plan(context, stack, look, policies)
    if not plan.changed:
        context.console.result(f"{stack.name}: no changes")
        return False
    if not sys.stdin.isatty():
        why = f"would change ({_counted(plan)}), and there is no terminal to ask on"
        raise DynoformError(f"stack {stack.name}", why, "look at it with --preview, allow it with --yes")
    context.console.line(f"{stack.name}: {_counted(plan)}. Go on? [y/N] ", "strong")
    return input().strip().lower() in ("y", "yes")


def _counted(run: Run) -> str:
    return ", ".join(f"{count} to {kind}" for kind, count in sorted(run.changed.items()))


def _report(options: argparse.Namespace, context: Context, stack: Stack, outcome: deploy.Outcome) -> None:
    run = outcome.run
    if options.json:
        known: dict[str, Any] = {"stack": stack.name, "changes": run.changed, "outputs": run.outputs}
        shared.print_json(context.console, known | {"seconds": round(outcome.seconds, 1), "log": str(outcome.log)})
        return
    changed = ", ".join(f"{count} {kind}" for kind, count in sorted(run.changed.items())) or "no changes"
    context.console.line(f"✓ {stack.name}: {changed} ({duration(outcome.seconds)})", "good")
    context.console.result(closing_words(stack.name, run.outputs))


def closing_words(stack: str, outputs: dict[str, Any]) -> str:
    """Where the apps and the API are, and what to do next."""
    option = "" if stack == "local" else f" --stack {stack}"
    lines = [f"  app {name:<12} {url}" for name, url in sorted((outputs.get("apps") or {}).items())]
    if "apiUrl" in outputs:
        lines.append(f"  API {'':<12} {outputs['apiUrl']}")
    lines += ["", "Next:", f'  eval "$(bin/dynoform env{option})"   point heroku, pulumi and curl at this stack']
    lines.append(f"  bin/dynoform status{option}            what runs")
    return "\n".join(lines)

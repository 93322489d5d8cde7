"""What a stack has in the Docker engine and on its host that its state does not know.

A purge without an engine leaves it, or a state that was lost.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from dynoform.cli import host_network, purge
from dynoform.cli.console import Console
from dynoform.cli.engine import Engine, connect
from dynoform.cli.stack import Stack
from dynoform.errors import ConflictError, DynoformError

SHOWN = 3


def note(stack: Stack) -> None:
    """Remembers that a purge has still to remove what the engine keeps."""
    _note(stack).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _note(stack).touch()


def is_noted(stack: Stack) -> bool:
    """Whether a purge has still something to do."""
    return _note(stack).exists()


def finish_purge(stack: Stack, console: Console) -> None:
    """Removes what a purge could not, since the engine did not answer then; brings the engine first, if need be.

    Raises `DynoformError` when there is still no engine.
    """
    if not is_noted(stack):
        return
    console.line("finishing a purge that the Docker engine did not answer to", "dim")
    with connect(stack) as engine:
        answers = engine is not None
    if not answers and stack.platform_host() is None:
        host_network.bring_engine(stack.places, stack.name, console)
    with connect(stack) as engine:
        if engine is None:
            next_step = f"start it (service docker start), then run bin/dynoform down --purge --stack {stack.name}"
            raise DynoformError(f"purge of stack {stack.name}", "the Docker engine does not answer", next_step)
        for line in removed(stack, engine, console, with_data=True):
            console.line(f"✓ {line}", "good")


def removed(stack: Stack, engine: Engine, console: Console, *, with_data: bool) -> Iterator[str]:
    """Removes all that there is of a stack, whatever Pulumi knows of it; yields a line for each thing.

    Without `with_data` volumes stay, and what opens them.
    """
    yield from purge.running(engine)
    if not engine.remote and host_network.is_left(stack.name):
        # Between the two: its networks are in use by containers, and use networks that carry the stack's label.
        host_network.remove(stack.places, stack.name, console)
        yield "bridges and firewall removed"
    yield from purge.kept(engine, with_data=with_data)
    if with_data:
        _note(stack).unlink(missing_ok=True)


def refuse(stack: Stack, engine: Engine) -> None:
    """Raises `ConflictError` when there are services of the platform, but no state that knows them."""
    names = purge.strangers(engine, _known(stack))
    if names:
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        why = f"the Docker engine has services of it that its state does not know ({shown})"
        next_step = (
            f"if its state is elsewhere, name it with --backend; "
            f"else remove them first (bin/dynoform down --stack {stack.name}), with their data by --purge"
        )
        raise ConflictError(f"stack {stack.name}", why, next_step)


def end_strangers(stack: Stack, console: Console) -> None:
    """Removes services that the state does not know: they use the volumes and networks that it does know."""
    with connect(stack) as engine:
        for line in purge.end(engine, purge.strangers(engine, _known(stack))) if engine else ():
            console.line(f"✓ {line}", "good")


def _known(stack: Stack) -> Collection[str]:
    return {str(resource.get("id", "")) for resource in stack.deployment().get("resources") or []}


def _note(stack: Stack) -> Path:
    return stack.places.data / "unpurged" / stack.name

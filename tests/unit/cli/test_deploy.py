"""What an operator sees of an operation: progress as it goes, reasons and the next step when it fails."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dynoform.cli import deploy
from dynoform.cli.console import Console
from dynoform.cli.stack import Stack


@pytest.mark.parametrize(
    ("operation", "command"),
    [("up", "up"), ("refresh", "up"), ("preview", "up --preview"), ("destroy", "down")],
)
def test_failed_operation_names_the_command_that_there_is(
    stack: Stack, console: Console, program: Callable[[Path, str], Path], operation: str, command: str
) -> None:
    program(stack.places.pulumi, "echo 'error: no such thing' >&2; exit 255")
    with pytest.raises(deploy.OperationError) as caught:
        deploy.apply(stack, operation, [], console)
    assert caught.value.lines == ["no such thing"]
    assert str(caught.value).endswith(f" — mend that, then run bin/dynoform {command} --stack local again")

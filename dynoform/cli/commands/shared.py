"""Options and steps that several commands have."""

import argparse
import json
from typing import Any

from dynoform.cli.console import Console
from dynoform.cli.context import Context
from dynoform.cli.tools import plugins, pulumi_cli, pulumi_context


def add_stack(parser: argparse.ArgumentParser) -> None:
    """``--stack S``."""
    parser.add_argument("--stack", default="local", metavar="S", help="the stack, described in Pulumi.S.yaml (local)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")


def bring_tools(context: Context) -> dict[str, str]:
    """The Pulumi CLI and its plugins, ready in the virtualenv and in Pulumi's home; returns where each came from."""
    cli = pulumi_cli.bring(context.places, context.environ, context.console)
    pulumi_context.prepare(context.places)
    return {
        "pulumi": f"{cli.version} ({cli.source})",
        "docker plugin": plugins.bring_docker(context.places, context.environ, context.console),
        "language host": plugins.bring_language_host(context.places),
    }


def print_json(console: Console, value: Any) -> None:
    """`value` as the command's result."""
    console.result(json.dumps(value, indent=2, sort_keys=True))

"""``env``: lines for a shell to evaluate, so that heroku, pulumi and curl work on a stack. Nothing else is printed."""

import argparse
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynoform.cli import trust
from dynoform.cli.commands import shared
from dynoform.cli.context import Context
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError

# They would send the Heroku CLI elsewhere, or to an app or a team of another platform.
IN_THE_WAY = (
    "HEROKU_ORGANIZATION",
    "HEROKU_TEAM",
    "HEROKU_APP",
    "HEROKU_HEADERS",
    "HEROKU_CLOUD",
    "HEROKU_GIT_HOST",
    "HEROKU_POSTGRESQL_HOST",
    "HEROKU_REDIS_HOST",
)
# The key stays in the shell's environment: it is no part of the setting.
GIT_CREDENTIALS = '!f() { test "$1" != get || printf "username=heroku\\npassword=%s\\n" "$HEROKU_API_KEY"; }; f'
# Where it is set, git looks at no setting about authorities, whatever the address.
GIT_AUTHORITY = "GIT_SSL_CAINFO"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `env` can be told."""
    shared.add_stack(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command."""
    stack = context.stack(options.stack)
    if stack.certainly_absent():
        raise stack.absent()
    shared.bring_tools(context)
    outputs = stack.outputs()
    if "apiUrl" not in outputs:
        why = "is not up, it has no API"
        raise DynoformError(f"stack {stack.name}", why, f"bin/dynoform up --stack {stack.name}")
    trust.write(stack, outputs)
    for line in lines(stack, outputs, context.environ):
        context.console.result(line)
    return 0


def lines(stack: Stack, outputs: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Shell lines: the Heroku CLI's own variables (its https mode without root), Pulumi's, and ours."""
    host = str(outputs["apiUrl"])
    name = host.partition("//")[2].partition(":")[0]
    authority = trust.needed(stack, outputs)
    extra = environ.get("NODE_EXTRA_CA_CERTS")
    values = {
        "HEROKU_HOST": host,
        "HEROKU_DATA_HOST": name,
        "PGDIAGNOSE_URL": name,
        "HEROKU_PARTICLEBOARD_URL": host,
        "HEROKU_BUILDPACK_REGISTRY_URL": host,
        "HEROKU_EXEC_URL": host,
        "HEROKU_API_KEY": str(outputs.get("apiKey", "")),
        "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
        "DISABLE_TELEMETRY": "true",
        "NODE_EXTRA_CA_CERTS": str(trust.combined(stack, extra)) if authority else trust.without(stack, extra),
        "DYNOFORM_CA": str(authority or ""),
        "DYNOFORM_STACK": stack.name,
        **stack.environment(),
        "PATH": _path(stack, environ),
        **_no_proxy(name, environ),
        **git_config(host, authority, environ),
    }
    exports = [f"export {key}={shlex.quote(value)}" for key, value in values.items() if value]
    removed = [*IN_THE_WAY, GIT_AUTHORITY, *(key for key, value in values.items() if not value)]
    return [*exports, f"unset {' '.join(removed)}"]


def _path(stack: Stack, environ: Mapping[str, str]) -> str:
    ours = str(stack.places.venv / "bin")
    before = [part for part in environ.get("PATH", os.defpath).split(os.pathsep) if part != ours]
    return os.pathsep.join([ours, *before])


def _no_proxy(host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy must not be asked for a stack on this machine."""
    if not any(environ.get(name) for name in PROXIES):
        return {}
    already = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    names = [part for part in already.split(",") if part]
    value = ",".join([*names, *(one for one in (host, "127.0.0.1") if one not in names)])
    return {"NO_PROXY": value, "no_proxy": value}


def git_config(host: str, authority: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables with git's settings for the platform's address: its `authority`'s file, if it has one, and the API key.

    `host` is ``https://name:port``. Settings that `environ` has already are kept; so is its authority for all other
    addresses, as a setting, because its variable `GIT_AUTHORITY` has to go.
    """
    general = environ.get(GIT_AUTHORITY, "")
    trusted = {f"http.{host}/.sslCAInfo": str(authority)}
    ours = {
        **({"http.sslCAInfo": general} if general else {}),
        **(trusted if authority else {}),
        f"credential.{host}.helper": GIT_CREDENTIALS,
    }
    count = environ.get("GIT_CONFIG_COUNT", "")
    theirs = [
        (environ.get(f"GIT_CONFIG_KEY_{n}", ""), environ.get(f"GIT_CONFIG_VALUE_{n}", ""))
        for n in range(int(count) if count.isdecimal() else 0)
    ]
    entries = [*((key, value) for key, value in theirs if key and key not in {**trusted, **ours}), *ours.items()]
    found = {"GIT_CONFIG_COUNT": str(len(entries))}
    for n, (key, value) in enumerate(entries):
        found |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    return found

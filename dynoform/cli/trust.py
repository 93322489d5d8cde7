"""What an operator's programs need to trust a stack: the certificate of its authority, as files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynoform.cli.stack import Stack

BROUGHT = "brought"


def certificate(stack: Stack) -> Path:
    """The file with the certificate of the stack's authority."""
    return stack.directory / "ca.pem"


def needed(stack: Stack, outputs: Mapping[str, Any]) -> Path | None:
    """What a client of the API has to be given to trust it; None when the operator brought a certificate for it."""
    return None if outputs.get("apiTrust") == BROUGHT else certificate(stack)


def write(stack: Stack, outputs: dict[str, Any]) -> None:
    """Writes the certificate from the stack's outputs, if they have one."""
    pem = outputs.get("caCertPem")
    if pem:
        _replace(certificate(stack), str(pem))


def combined(stack: Stack, existing: str | None) -> Path:
    """A file for NODE_EXTRA_CA_CERTS, which can only name one: the user's `existing` certificates, then ours."""
    own = certificate(stack)
    bundle = stack.directory / "ca-bundle.pem"
    if not existing or Path(existing) in (own, bundle) or not Path(existing).is_file():
        # Ours comes last in a bundle that is in use already: keep what it has.
        return bundle if existing and Path(existing) == bundle and bundle.exists() else own
    _replace(bundle, f"{Path(existing).read_text(encoding='utf-8').rstrip()}\n{own.read_text(encoding='utf-8')}")
    return bundle


def without(stack: Stack, existing: str | None) -> str:
    """The user's own NODE_EXTRA_CA_CERTS; empty for one of ours, which is of no use any more."""
    ours = (certificate(stack), stack.directory / "ca-bundle.pem")
    return existing if existing and Path(existing) not in ours else ""


def _replace(file: Path, text: str) -> None:
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)

"""Declared apps: a directory of source, config vars and a formation, brought to the platform through its API."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pulumi


@dataclass(frozen=True)
class ApiArgs:
    """Where the Platform API is, and who calls it.

    Parameters:
        url: such as ``https://localhost:8443``.
        ca_cert_pem: the authority to trust, PEM.
        token: API key, a secret.
    """

    url: pulumi.Input[str]
    ca_cert_pem: pulumi.Input[str]
    token: pulumi.Input[str]


@dataclass(frozen=True)
class FormationArgs:
    """How many dynos of a process type run, and how big they are.

    Parameters:
        quantity: number of dynos.
        size: dyno size; empty leaves it as it is.
    """

    quantity: int
    size: str = ""


@dataclass(frozen=True)
class AppArgs:
    """Parameters of ``App``.

    Parameters:
        api: the platform.
        name: the app's name, its host name under the platform's domain.
        source: directory of its source, relative to the project's root.
        config: config vars; those of others stay as they are.
        formation: process type → dynos; empty leaves it to the platform (one web dyno).
    """

    api: ApiArgs
    name: str
    source: str
    config: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    formation: Mapping[str, FormationArgs] = field(default_factory=dict)


class App(pulumi.CustomResource):
    """An app, built and released from its source. The provider hashes the source: a change of it is a new build."""

    web_url: pulumi.Output[str]
    """Where it answers."""
    release: pulumi.Output[int]
    """Version of its current release."""

    def __init__(self, name: str, args: AppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        properties: dict[str, Any] = {
            "api": {
                "url": args.api.url,
                "caCertPem": args.api.ca_cert_pem,
                "token": pulumi.Output.secret(args.api.token),
            },
            "name": args.name,
            "source": args.source,
            "config": pulumi.Output.secret(dict(args.config)),
            "formation": {kind: asdict(formation) for kind, formation in args.formation.items()},
            "web_url": None,
            "release": None,
        }
        super().__init__("dynoform:index:App", name, properties, opts)

    def translate_input_property(self, prop: str) -> str:
        """The provider's name of a Python attribute."""
        return "webUrl" if prop == "web_url" else prop

    def translate_output_property(self, prop: str) -> str:
        """The Python attribute of a provider's name."""
        return "web_url" if prop == "webUrl" else prop

"""An app on a platform that is there already."""

from typing import NotRequired, TypedDict

import pulumi

from components import app


class Api(TypedDict):
    """The platform that an app is on: outputs of its stack."""

    url: pulumi.Input[str]
    """Base URL of its Platform API, the output ``apiUrl``."""
    ca_cert_pem: pulumi.Input[str]
    """PEM of the authority that signed its certificate, the output ``caCertPem``."""
    token: pulumi.Input[str]
    """An API key, such as the output ``apiKey``: a secret."""


class Process(TypedDict):
    """Dynos of a process type."""

    quantity: int
    """How many."""
    size: NotRequired[str]
    """Dyno size; left as it is when it is not said."""


class AppArgs(TypedDict):
    """What is declared of an app."""

    api: Api
    """The platform."""
    name: str
    """The app's name, its host name under the platform's domain."""
    source: str
    """Directory of its source: an absolute path, or one relative to the program."""
    config: NotRequired[dict[str, pulumi.Input[str]]]
    """Config vars; those of others stay as they are."""
    formation: NotRequired[dict[str, Process]]
    """Process type to dynos; not said, the platform starts one web dyno."""


class App(pulumi.ComponentResource):
    """An app, built and released from its source. A change of the source is a new build."""

    web_url: pulumi.Output[str]
    """Where it answers."""
    release: pulumi.Output[int]
    """Version of its current release."""

    def __init__(self, name: str, args: AppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform-components:index:App", name, {}, opts)
        api, formation = args["api"], args.get("formation") or {}
        made = app.App(
            name,
            app.AppArgs(
                api=app.ApiArgs(api["url"], api["ca_cert_pem"], api["token"]),
                name=args["name"],
                source=args["source"],
                config=args.get("config") or {},
                formation={
                    kind: app.FormationArgs(int(wanted["quantity"]), wanted.get("size") or "")
                    for kind, wanted in formation.items()
                },
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.web_url, self.release = made.web_url, made.release
        self.register_outputs({"webUrl": self.web_url, "release": self.release})

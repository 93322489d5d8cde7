"""Swarm secrets of the platform."""

import base64
from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from components.platform_service import STACK_LABEL


def swarm_secret(
    name: str,
    stack: str,
    value: pulumi.Input[str],
    parent: pulumi.Resource,
    labels: Mapping[str, str] | None = None,
) -> docker.Secret:
    """A Swarm secret that holds ``value``, on the engine of ``parent``, which is a component or the engine's provider.

    It is named by Pulumi, so that a changed value makes a new one while services still use the old one: Swarm's
    secrets cannot change, nor go while in use. ``labels`` are further ones.
    """
    return docker.Secret(
        name,
        data=pulumi.Output.secret(value).apply(lambda text: base64.b64encode(text.encode()).decode()),
        labels=[
            docker.SecretLabelArgs(label=label, value=text)
            for label, text in {STACK_LABEL: stack, **(labels or {})}.items()
        ],
        # A provider is taken over by what is below a component, but not by what is below itself.
        opts=pulumi.ResourceOptions(
            parent=parent, provider=parent if isinstance(parent, pulumi.ProviderResource) else None
        ),
    )

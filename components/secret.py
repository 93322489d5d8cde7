"""Swarm secrets of the platform."""

import base64

import pulumi
import pulumi_docker as docker

from components.platform_service import STACK_LABEL


def swarm_secret(name: str, stack: str, value: pulumi.Input[str], parent: pulumi.Resource) -> docker.Secret:
    """A Swarm secret that holds ``value``, on the engine of ``parent``, which is a component or the engine's provider.

    It is named by Pulumi, so that a changed value makes a new one while services still use the old one: Swarm's
    secrets cannot change, nor go while in use.
    """
    return docker.Secret(
        name,
        data=pulumi.Output.secret(value).apply(lambda text: base64.b64encode(text.encode()).decode()),
        labels=[docker.SecretLabelArgs(label=STACK_LABEL, value=stack)],
        # A provider is taken over by what is below a component, but not by what is below itself.
        opts=pulumi.ResourceOptions(
            parent=parent, provider=parent if isinstance(parent, pulumi.ProviderResource) else None
        ),
    )

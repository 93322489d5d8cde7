"""Volumes of the platform."""

import pulumi
import pulumi_docker as docker

from components.platform_service import STACK_LABEL


def stack_volume(name: str, stack: str, noun: str, parent: pulumi.Resource, *, keep: bool = False) -> docker.Volume:
    """The volume ``<stack>_<noun>``; one to ``keep`` outlives ``down``, only ``down --purge`` removes it."""
    return docker.Volume(
        name,
        name=f"{stack}_{noun}",
        labels=[docker.VolumeLabelArgs(label=STACK_LABEL, value=stack)],
        opts=pulumi.ResourceOptions(parent=parent, retain_on_delete=keep),
    )

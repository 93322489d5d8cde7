"""Volumes of the platform."""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from components.platform_service import STACK_LABEL


def stack_volume(
    name: str,
    stack: str,
    noun: str,
    parent: pulumi.Resource,
    *,
    keep: bool = False,
    labels: Mapping[str, str] | None = None,
) -> docker.Volume:
    """The volume ``<stack>_<noun>``; one to ``keep`` outlives ``down``, only ``down --purge`` removes it.

    ``labels`` are further ones.
    """
    return docker.Volume(
        name,
        name=f"{stack}_{noun}",
        labels=[
            docker.VolumeLabelArgs(label=label, value=text)
            for label, text in {STACK_LABEL: stack, **(labels or {})}.items()
        ],
        opts=pulumi.ResourceOptions(parent=parent, retain_on_delete=keep),
    )

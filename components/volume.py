"""Volumes of the platform."""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from components.platform_service import STACK_LABEL, Mount


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


def data_mount(
    name: str,
    stack: str,
    noun: str,
    path: str,
    parent: pulumi.Resource,
    *,
    host: str = "",
    keep: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Mount:
    """The same volume at ``path`` in a container.

    On another ``host`` the engine there makes it with the service: this one's makes none elsewhere.
    """
    if host:
        return Mount(f"{stack}_{noun}", path, labels={STACK_LABEL: stack, **(labels or {})})
    return Mount(stack_volume(name, stack, noun, parent, keep=keep, labels=labels).name, path)

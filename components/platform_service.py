"""How every service of the platform runs on Swarm: one place for the settings that are unsafe when left unset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

STACK_LABEL = "dynoform.stack"
ADDON_LABEL = "dynoform.addon"
"""On all that is an add-on's and not the platform's: its id."""
PARTS_LABEL = "dynoform.addon.parts"
"""On services of an add-on that has several: how many, so that it is seen when one of them was removed."""


@dataclass(frozen=True)
class SecretFile:
    """A Swarm secret as a file in /run/secrets.

    Parameters:
        file_name: name below /run/secrets.
        secret: the secret.
        uid: numeric owner inside the container; only the owner may read it.
    """

    file_name: str
    secret: docker.Secret
    uid: str = "0"


@dataclass(frozen=True)
class Mount:
    """A volume, or a directory or socket of the host, in a container.

    Parameters:
        source: volume name, or absolute path on the host.
        target: absolute path in the container.
        bind: the source is a path on the host.
        follows: what is mounted or unmounted below the source on the host is so in the container too.
        labels: of a volume that the engine makes where there is none, on whichever host that is.
    """

    source: pulumi.Input[str]
    target: str
    bind: bool = False
    follows: bool = False
    read_only: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


HAPROXY_STOP = "SIGUSR1"
"""What ends HAProxy; SIGTERM, which it leaves to the kernel, does not end a container's first process."""


@dataclass(frozen=True)
class ServiceSpec:
    """What differs between the platform's services.

    Parameters:
        stack: name of the stack; the service is called ``<stack>_<noun>``.
        noun: what it is.
        command: what to start instead of the image's entrypoint; ``args`` are its arguments.
        image: image with tag.
        network_id: engine id of the network its tasks join.
        ports: port in the container → port on the platform's address.
        capabilities: Linux capabilities that it keeps; all others are dropped.
        memory_mib: hard limit.
        scratch: directories in memory that the container may write, besides its mounts; its root is read-only.
        everywhere: one task on each host instead of one in all.
        constraints: what a host has to be to run it, in Swarm's words; none for any host.
        labels: further labels of the service.
        filed: by what the log agent files its lines in an app's log, see ``dyno_container.LOG_OPTIONS``; in the
            environment and no labels, which are dynos' alone.
    """

    stack: str
    noun: str
    image: pulumi.Input[str]
    network_id: pulumi.Input[str]
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    environment: dict[str, pulumi.Input[str]] = field(default_factory=dict)
    secrets: Sequence[SecretFile] = ()
    mounts: Sequence[Mount] = ()
    ports: dict[int, int] = field(default_factory=dict)
    capabilities: Sequence[str] = ()
    user: str | None = None
    memory_mib: int = 256
    healthcheck: Sequence[str] = ()
    stop_grace: str = "10s"
    stop_signal: str | None = None
    scratch: Sequence[str] = ("/tmp",)  # noqa: S108 - a private tmpfs inside the container
    everywhere: bool = False
    constraints: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    filed: Mapping[str, str] = field(default_factory=dict)


def everywhere_else(constraints: Sequence[str]) -> list[str]:
    """What hosts have to be, in Swarm's words, so that they are all but those that meet the one constraint given."""
    (only,) = constraints
    name, equal, value = only.partition("==")
    assert equal, f"{only}: is no equality"  # noqa: S101 - of the stack's own making
    return [f"{name}!={value}"]


def service_args(spec: ServiceSpec) -> docker.ServiceArgs:
    """Arguments of a ``pulumi_docker.Service`` for a platform service.

    Restart policy, stop grace and update order are always written: left unset, the plugin sends zeros that restart or
    kill tasks at unrelated changes. Durations are in their shortest form, which alone is free of perpetual diffs.
    """
    return docker.ServiceArgs(
        name=f"{spec.stack}_{spec.noun}",
        labels=[
            docker.ServiceLabelArgs(label=name, value=value)
            for name, value in {STACK_LABEL: spec.stack, **spec.labels}.items()
        ],
        mode=docker.ServiceModeArgs(global_=True)
        if spec.everywhere
        else docker.ServiceModeArgs(replicated=docker.ServiceModeReplicatedArgs(replicas=1)),
        endpoint_spec=docker.ServiceEndpointSpecArgs(
            mode="dnsrr",
            ports=[
                docker.ServiceEndpointSpecPortArgs(
                    target_port=inside, published_port=outside, publish_mode="host", protocol="tcp"
                )
                for inside, outside in spec.ports.items()
            ],
        ),
        # Two tasks cannot hold the same host port, so the old one goes first.
        update_config=docker.ServiceUpdateConfigArgs(
            parallelism=1, order="stop-first", failure_action="pause", monitor="5s", delay="0s", max_failure_ratio="0.0"
        ),
        converge_config=None if spec.everywhere else docker.ServiceConvergeConfigArgs(delay="1s", timeout="3m"),
        task_spec=docker.ServiceTaskSpecArgs(
            container_spec=_container(spec),
            networks_advanceds=[docker.ServiceTaskSpecNetworksAdvancedArgs(id=spec.network_id)],
            restart_policy=docker.ServiceTaskSpecRestartPolicyArgs(condition="any", delay="1s", window="0s"),
            resources=docker.ServiceTaskSpecResourcesArgs(
                limits=docker.ServiceTaskSpecResourcesLimitsArgs(memory_bytes=spec.memory_mib * 1024 * 1024)
            ),
            placement=docker.ServiceTaskSpecPlacementArgs(constraints=list(spec.constraints))
            if spec.constraints
            else None,
            log_driver=docker.ServiceTaskSpecLogDriverArgs(
                name="json-file",
                options={"max-size": "10m", "max-file": "2", **({"env": ",".join(spec.filed)} if spec.filed else {})},
            ),
        ),
    )


def _container(spec: ServiceSpec) -> docker.ServiceTaskSpecContainerSpecArgs:
    return docker.ServiceTaskSpecContainerSpecArgs(
        image=spec.image,
        commands=list(spec.command) or None,
        args=list(spec.args) or None,
        env={**spec.environment, **spec.filed} or None,
        user=spec.user,
        read_only=True,
        cap_drops=["ALL"],
        cap_adds=[f"CAP_{name}" for name in spec.capabilities] or None,
        stop_grace_period=spec.stop_grace,
        stop_signal=spec.stop_signal,
        healthcheck=_healthcheck(spec.healthcheck),
        mounts=[_mount(mount) for mount in spec.mounts] + [_scratch(directory) for directory in spec.scratch],
        secrets=[
            docker.ServiceTaskSpecContainerSpecSecretArgs(
                secret_id=file.secret.id,
                secret_name=file.secret.name,
                file_name=file.file_name,
                file_uid=file.uid,
                file_gid=file.uid,
                file_mode=0o400,
            )
            for file in spec.secrets
        ],
    )


def _healthcheck(command: Sequence[str]) -> docker.ServiceTaskSpecContainerSpecHealthcheckArgs | None:
    if not command:
        return None
    return docker.ServiceTaskSpecContainerSpecHealthcheckArgs(
        tests=["CMD", *command], interval="10s", timeout="5s", start_period="1m", retries=6
    )


def _mount(mount: Mount) -> docker.ServiceTaskSpecContainerSpecMountArgs:
    return docker.ServiceTaskSpecContainerSpecMountArgs(
        type="bind" if mount.bind else "volume",
        source=mount.source,
        target=mount.target,
        read_only=mount.read_only,
        bind_options=docker.ServiceTaskSpecContainerSpecMountBindOptionsArgs(propagation="rslave")
        if mount.follows
        else None,
        volume_options=docker.ServiceTaskSpecContainerSpecMountVolumeOptionsArgs(
            labels=[
                docker.ServiceTaskSpecContainerSpecMountVolumeOptionsLabelArgs(label=name, value=value)
                for name, value in mount.labels.items()
            ]
        )
        if mount.labels
        else None,
    )


def _scratch(directory: str) -> docker.ServiceTaskSpecContainerSpecMountArgs:
    return docker.ServiceTaskSpecContainerSpecMountArgs(
        type="tmpfs",
        target=directory,
        tmpfs_options=docker.ServiceTaskSpecContainerSpecMountTmpfsOptionsArgs(mode=0o777, size_bytes=64 * 1024 * 1024),
    )

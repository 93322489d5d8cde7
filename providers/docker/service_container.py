"""The container part of a service's properties → the engine's ContainerSpec. Pure."""

from collections.abc import Mapping
from typing import Any

from .compact import compact, label_map, nanoseconds

Values = Mapping[str, Any]


def container_spec(container: Values) -> dict[str, Any]:
    """The spec for ``taskSpec.containerSpec``. A stop grace period that is not given is sent as 0."""
    dns = container.get("dnsConfig") or {}
    return compact(
        {
            "Image": container.get("image"),
            "Labels": label_map(container.get("labels")),
            "Command": list(container.get("commands") or ()),
            "Args": list(container.get("args") or ()),
            "Hostname": container.get("hostname"),
            "Env": [f"{name}={value}" for name, value in sorted((container.get("env") or {}).items())],
            "Dir": container.get("dir"),
            "User": container.get("user"),
            "Groups": list(container.get("groups") or ()),
            "Privileges": _privileges(container.get("privileges") or {}),
            "StopSignal": container.get("stopSignal"),
            "StopGracePeriod": nanoseconds(container.get("stopGracePeriod")) or 0,
            "ReadOnly": container.get("readOnly"),
            "Init": container.get("init"),
            "Isolation": container.get("isolation"),
            "Mounts": [_mount(mount) for mount in container.get("mounts") or ()],
            "Hosts": [f"{host['ip']} {host['host']}" for host in container.get("hosts") or ()],
            "DNSConfig": compact(
                {"Nameservers": dns.get("nameservers"), "Search": dns.get("searches"), "Options": dns.get("options")}
            ),
            "Secrets": [_file(file, "secret") for file in container.get("secrets") or ()],
            "Configs": [_file(file, "config") for file in container.get("configs") or ()],
            "Sysctls": dict(container.get("sysctl") or {}),
            "CapabilityAdd": list(container.get("capAdds") or ()),
            "CapabilityDrop": list(container.get("capDrops") or ()),
            "Healthcheck": _healthcheck(container.get("healthcheck") or {}),
        }
    )


def _privileges(privileges: Values) -> dict[str, Any]:
    context = privileges.get("seLinuxContext") or {}
    return compact(
        {
            "SELinuxContext": compact(
                {
                    "Disable": context.get("disable"),
                    "User": context.get("user"),
                    "Role": context.get("role"),
                    "Type": context.get("type"),
                    "Level": context.get("level"),
                }
            )
        }
    )


def _mount(mount: Values) -> dict[str, Any]:
    bind, volume = mount.get("bindOptions") or {}, mount.get("volumeOptions") or {}
    tmpfs = mount.get("tmpfsOptions") or {}
    driver = compact({"Name": volume.get("driverName"), "Options": volume.get("driverOptions")})
    return compact(
        {
            "Type": mount.get("type"),
            "Source": mount.get("source"),
            "Target": mount.get("target"),
            "ReadOnly": mount.get("readOnly"),
            "BindOptions": compact({"Propagation": bind.get("propagation")}),
            "VolumeOptions": compact(
                {
                    "NoCopy": volume.get("noCopy"),
                    "Labels": label_map(volume.get("labels")),
                    "DriverConfig": driver,
                }
            ),
            "TmpfsOptions": compact({"SizeBytes": tmpfs.get("sizeBytes"), "Mode": tmpfs.get("mode")}),
        }
    )


def _file(file: Values, of: str) -> dict[str, Any]:
    kind = of.capitalize()
    return compact(
        {
            f"{kind}ID": file.get(f"{of}Id"),
            f"{kind}Name": file.get(f"{of}Name"),
            "File": {
                "Name": file.get("fileName"),
                "UID": file.get("fileUid", "0"),
                "GID": file.get("fileGid", "0"),
                "Mode": file.get("fileMode", 0o444),
            },
        }
    )


def _healthcheck(check: Values) -> dict[str, Any]:
    if not check.get("tests"):
        return {}
    return {
        "Test": list(check["tests"]),
        "Interval": nanoseconds(check.get("interval")) or 0,
        "Timeout": nanoseconds(check.get("timeout")) or 0,
        "StartPeriod": nanoseconds(check.get("startPeriod")) or 0,
        "Retries": check.get("retries") or 0,
    }

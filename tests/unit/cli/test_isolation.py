"""What doctor tells of how far a host keeps dynos apart."""

from typing import Any

import pytest

from dynoform.cli import isolation

DEFAULT: dict[str, Any] = {
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
    "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
    "DockerRootDir": "/var/lib/docker",
}
MOUNTS = "/dev/vda / ext4 rw,relatime 0 0\n/dev/vdb /var/lib/docker xfs rw,relatime,attr2,prjquota 0 0\nx\n"


def notes(info: dict[str, Any], mounts: str = MOUNTS) -> dict[str, str]:
    return {check.name: str(check.error) if check.error else check.note for check in isolation.checks(info, mounts)}


def test_a_common_host_has_no_quota_and_no_user_namespaces() -> None:
    assert notes(DEFAULT) == {
        "system calls": "",
        "user namespaces": "off: dynos are kept apart by user 1000 without privileges "
        '("userns-remap" in /etc/docker/daemon.json)',
        "disk quota": "none on extfs: the dyno that has written most is stopped when the disk is nearly full",
    }


def test_what_a_host_can_do_more_is_told() -> None:
    options = ["name=seccomp,profile=builtin", "name=userns"]
    xfs = {**DEFAULT, "SecurityOptions": options, "DriverStatus": [["Backing Filesystem", "xfs"]]}
    found = notes(xfs)
    assert found["user namespaces"] == "root in a container is nobody on the host"
    assert found["disk quota"] == "possible: XFS with project quotas (overlay2.size in /etc/docker/daemon.json)"
    assert notes(xfs, "/dev/vda / xfs rw 0 0\n")["disk quota"].startswith("none on xfs")


@pytest.mark.parametrize("options", [[], None, ["name=seccomp,profile=unconfined"]])
def test_an_engine_that_filters_no_system_calls_is_wrong(options: list[str] | None) -> None:
    assert notes({**DEFAULT, "SecurityOptions": options})["system calls"] == (
        "Docker engine: filters no system calls of containers (seccomp) "
        '— take "seccomp-profile" out of /etc/docker/daemon.json, or use a newer kernel'
    )

"""Networks, volumes, secrets and configs on a real engine; what is not served, and an engine that is not there."""

import base64
from pathlib import Path

import docker
import grpc
import pytest

from providers.docker.wire import UNKNOWN
from tests.integration.docker_plugin.harness import (
    LABELS,
    Plugin,
    details,
    plugin,
)

pytestmark = pytest.mark.engine


def test_volume_lives_and_is_adopted(pulumi: Plugin) -> None:
    made = pulumi.create("Volume", "data", {"labels": LABELS})
    assert made.id.startswith("data-")
    assert made.outputs["mountpoint"]
    assert pulumi.changes(made, {"labels": LABELS}) == []
    again = pulumi.create("Volume", "other", {"name": made.id, "labels": LABELS})
    assert again.id == made.id
    assert pulumi.imported("Volume", made.id).inputs == {"driver": "local", "labels": LABELS, "name": made.id}
    pulumi.delete(made)
    assert pulumi.read(made).id == ""
    pulumi.delete(made)


def test_network_lives_and_a_second_of_its_name_is_refused(pulumi: Plugin) -> None:
    program = {"name": "dkptest_net", "labels": LABELS, "ipamConfigs": [{"subnet": "10.219.0.0/24"}]}
    made = pulumi.create("Network", "net", program)
    assert (made.outputs["driver"], made.outputs["scope"], len(made.id)) == ("bridge", "local", 64)
    fresh = pulumi.read(made)
    assert pulumi.changes(fresh, program) == []
    assert pulumi.changes(pulumi.imported("Network", "dkptest_net"), program) == []
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("Network", "net", program)
    assert "Unable to create network: Error response from daemon: network with name dkptest_net" in details(error)
    pulumi.delete(made)
    pulumi.delete(made)
    assert pulumi.read(made).id == ""


def test_config_and_secret_live(pulumi: Plugin) -> None:
    config = pulumi.create("ServiceConfig", "c", {"dataRaw": "hello", "labels": LABELS})
    assert (config.outputs["data"], config.outputs["dataRaw"]) == (None, "hello")
    imported = pulumi.imported("ServiceConfig", config.id)
    assert base64.b64decode(imported.inputs["data"]) == b"hello"
    secret = pulumi.create("Secret", "s", {"data": "aGVsbG8=", "labels": LABELS})
    assert pulumi.read(secret).outputs == secret.outputs
    assert pulumi.imported("Secret", secret.id).id == ""
    for made in (config, secret):
        pulumi.delete(made)
        pulumi.delete(made)
        assert pulumi.read(made).id == ""


def test_empty_secret_is_refused_by_the_engine(pulumi: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as error:
        pulumi.create("Secret", "s", {"data": ""})
    assert "secret data must be larger than 0 and less than 512000 bytes" in details(error)


def test_engine_is_contacted_at_the_first_use(engine: docker.APIClient, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "__init__.py").write_text("raise ImportError('a folder of the program')")
    with plugin({"host": "unix:///nowhere.sock"}, directory=tmp_path) as lost:
        preview = lost.create("Volume", "v", {}, preview=True)
        assert (preview.id, preview.outputs["mountpoint"]) == ("", UNKNOWN)
        with pytest.raises(grpc.RpcError) as error:
            lost.create("Volume", "v", {})
    assert (
        "failed to create Docker client: Error pinging Docker server, please make sure that unix:///nowhere.sock "
        "is reachable and has a  '_ping' endpoint." in details(error)
    )


def test_types_and_functions_that_are_not_served_are_refused_by_name(pulumi: Plugin) -> None:
    (failure,) = pulumi.check("Container", "c", {"image": "x"}).failures
    assert failure.reason.startswith("docker:index/container:Container: is not served by this docker plugin")

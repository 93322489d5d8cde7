"""The whole program under mocks: what it declares, and the rules that hold for each resource."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.components.conftest import ON_A_DOMAIN

SERVICE = "docker:index/service:Service"


@pytest.fixture(scope="module")
def platform(declare: Callable[[dict[str, str]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return declare(
        {
            "dynoform:domain": "localhost",
            "dynoform:httpPort": "8080",
            "dynoform:httpsPort": "8443",
            "dynoform:listenAddress": "127.0.0.1",
            "dynoform:execAddress": "127.0.0.80",
            "dynoform:platformPort": "7400",
            "dynoform:email": "operator@localhost",
            "dynoform:dynoSubnet": "172.29.0.0/22",
            "dynoform:platformSubnet": "172.29.4.0/24",
            "dynoform:apps": '{"python": {"source": "examples/apps/python", "config": {"GREETING": "Hello"}}}',
        }
    )


@pytest.fixture(scope="module")
def spread(declare: Callable[[dict[str, str]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Three managers in two zones and a worker of a space's own."""
    hosts = {
        "one": {"address": "host1.example.com", "privateAddress": "10.0.0.1", "zone": "a", "platform": True},
        "two": {"address": "10.0.0.2", "zone": "b", "user": "admin", "port": 2222, "keyFile": "/keys/two"},
        "three": {"address": "10.0.0.3", "zone": "a", "knownHosts": "/keys/known", "jump": "admin@door"},
        "four": {"address": "10.0.0.4", "role": "worker", "runtime": "acme"},
    }
    return declare(
        {
            **ON_A_DOMAIN,
            "dynoform:hosts": json.dumps(hosts),
            "dynoform:acmeDirectory": "https://ca.example.com/dir",
            "dynoform:acmeTermsAgreed": "true",
            "dynoform:acmeAuthorities": "PEM",
            "dynoform:acmeAccountKeyId": "key-1",
            "dynoform:acmeAccountKey": "k" * 43,
            "dynoform:backupRepository": json.dumps(
                {"type": "s3", "bucket": "shop-backups", "endpoint": "s3.example.com", "region": "eu-1"}
            ),
            "dynoform:backupRepositoryKey": "id:secret",
            "dynoform:routerAddresses": "203.0.113.9, 203.0.113.10",
            "dynoform:routing": "better",
            "dynoform:metricsPort": "9100",
            "dynoform:proxyProtocolFrom": "10.20.0.0/24, fd00::/64",
        }
    )


@pytest.fixture(scope="module")
def building(declare: Callable[[dict[str, str]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Three hosts, two of them with builders."""
    hosts = {
        "one": {"address": "10.0.0.1", "platform": True},
        "two": {"address": "10.0.0.2", "role": "worker", "builder": True},
        "three": {"address": "10.0.0.3", "role": "worker", "builder": True},
    }
    return declare({**ON_A_DOMAIN, "dynoform:hosts": json.dumps(hosts)})


def playbooks(declared: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """Host name → inputs of a playbook that runs on it."""
    found = [each["inputs"] for each in declared if each["type"] == "dynoform:index:Playbook"]
    return {each["host"]["name"]: each for each in found if each["playbook"] == f"playbooks/{name}.yml"}


def test_several_hosts_join_the_first_ones_swarm(spread: list[dict[str, Any]]) -> None:
    made = playbooks(spread, "host")
    assert made["two"]["host"] == {
        "name": "two", "address": "10.0.0.2", "connection": "ssh", "user": "admin", "port": 2222,
        "key_file": "/keys/two",
    }  # fmt: skip
    assert "beside" not in made["one"] or made["one"]["beside"] == []
    assert [each["name"] for each in made["four"]["beside"]] == ["one"]
    assert made["four"]["variables"] == {
        "swarm_node_advertise_address": "10.0.0.4",
        "swarm_node_listen_address": "10.0.0.4:2377",
        "swarm_node_role": "worker",
        "swarm_node_manager": "one",
        "swarm_node_join_address": "10.0.0.1:2377",
    }


def test_every_host_knows_the_others_and_where_the_registry_is(spread: list[dict[str, Any]]) -> None:
    made = playbooks(spread, "dyno_runtime")
    assert set(made) == {"one", "two", "three", "four"}
    three = made["three"]["variables"]
    assert three["dyno_runtime_private_address"] == "10.0.0.3"
    assert three["dyno_runtime_fleet_addresses"] == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    assert three["registry_trust_address"] == "10.0.0.1"
    places = {name: (each["variables"]["host_zone"], each["variables"]["host_runtime"]) for name, each in made.items()}
    assert places == {"one": ("a", "common"), "two": ("b", "common"), "three": ("a", "common"), "four": ("", "acme")}
    assert {name for name, each in made.items() if each["variables"]["host_platform"] == "true"} == {"one"}


def test_each_hosts_figures_are_at_its_private_address_with_a_certificate_for_it(spread: list[dict[str, Any]]) -> None:
    made = {name: each["variables"] for name, each in playbooks(spread, "metrics_agent").items()}
    assert {name: (each["metrics_agent_address"], each["metrics_agent_port"]) for name, each in made.items()} == {
        name: (f"10.0.0.{number}", 9100) for number, name in enumerate(("one", "two", "three", "four"), 1)
    }
    assert all("metrics_agent_key" not in each for each in made.values())
    certificates = {
        each["name"].removeprefix("local-metrics-agent-"): each["inputs"]
        for each in spread
        if each["type"] == "dynoform:index:Certificate" and "metrics-agent" in each["name"]
    }
    assert (certificates["two-certificate"]["ipAddresses"], certificates["two-certificate"]["client"]) == (
        ["10.0.0.2"],
        False,
    )
    assert certificates["reader-certificate"]["client"] is True


def test_nobodys_figures_are_read_unasked(platform: list[dict[str, Any]]) -> None:
    assert not [each["name"] for each in platform if "metrics-agent" in each["name"]]


def test_one_of_all_routers_hosts_has_the_addresses(spread: list[dict[str, Any]]) -> None:
    made = {name: each["variables"] for name, each in playbooks(spread, "router_address").items()}
    assert set(made) == {"one", "two", "three", "four"}
    assert made["two"] == {
        "router_address_addresses": ["203.0.113.9", "203.0.113.10"],
        "router_address_private_address": "10.0.0.2",
        "router_address_peers": ["10.0.0.1", "10.0.0.3", "10.0.0.4"],
        "router_address_priority": 199,
        "router_address_check": "172.29.0.1 80",
    }
    assert len({each["router_address_priority"] for each in made.values()}) == len(made)


def test_routers_choose_dynos_and_believe_load_balancers_as_it_is_set(
    platform: list[dict[str, Any]], spread: list[dict[str, Any]]
) -> None:
    def told(declared: list[dict[str, Any]]) -> list[str]:
        (router,) = [each for each in services(declared) if each["name"] == "local_router"]
        environment = router["taskSpec"]["containerSpec"]["env"]
        return [environment["DYNOFORM_ROUTING"], environment["DYNOFORM_PROXY_PROTOCOL_FROM"]]

    assert told(platform) == ["heroku", ""]
    assert told(spread) == ["better", "10.20.0.0/24 fd00::/64"]


def test_updates_of_an_image_make_another_of_it_and_of_what_starts_from_it(
    platform: list[dict[str, Any]], declare: Callable[[dict[str, str]], list[dict[str, Any]]]
) -> None:
    def images(declared: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {each["name"]: each["inputs"] for each in declared if each["type"].endswith(":RemoteImage")}

    run, build = "local-images-stack-13", "local-images-stack-13-build"
    updated = images(declare({**ON_A_DOMAIN, "dynoform:runImageUpdates": "0123456789ab"}))
    assert updated[run]["build"]["buildArgs"]["UPDATES"] == "0123456789ab"
    assert "UPDATES" not in updated[build]["build"]["buildArgs"], "it starts from the other"
    updated = images(declare({**ON_A_DOMAIN, "dynoform:buildImageUpdates": "0123456789ab"}))
    assert (run in updated, updated[build]["build"]["buildArgs"]["UPDATES"]) == (True, "0123456789ab")
    assert "UPDATES" not in updated[run]["build"]["buildArgs"]
    assert all("UPDATES" not in image["build"]["buildArgs"] for image in images(platform).values())


def test_data_stay_on_the_platforms_host_and_what_is_everywhere_comes_from_the_registry(
    spread: list[dict[str, Any]],
) -> None:
    pinned = ["node.labels.dynoform.local.platform==true"]
    for each in services(spread):
        task = each["taskSpec"]
        constraints = task.get("placement", {}).get("constraints", [])
        image = task["containerSpec"]["image"]
        if "global" in each["mode"]:
            assert image.startswith("10.0.0.1:7400/platform/"), each["name"]
            assert constraints == (["node.role==manager"] if each["name"] == "local_reconcile" else [])
        else:
            assert constraints == pinned, each["name"]
            assert image.startswith("dynoform/")


def test_builders_are_on_the_hosts_that_are_marked_with_images_that_these_can_get(
    building: list[dict[str, Any]], spread: list[dict[str, Any]]
) -> None:
    made = playbooks(building, "dyno_runtime")
    labels = {name: each["variables"]["host_builder"] for name, each in made.items()}
    assert labels == {"one": "false", "two": "true", "three": "true"}
    builder, alone = (
        next(each for each in services(declared) if each["name"] == "local_builder") for declared in (building, spread)
    )
    assert builder["mode"] == {"global": True} and alone["mode"] == {"replicated": {"replicas": 1}}
    assert builder["taskSpec"]["placement"]["constraints"] == ["node.labels.dynoform.local.builder==true"]
    container = builder["taskSpec"]["containerSpec"]
    assert container["env"]["DYNOFORM_HOST"] == "{{.Node.Hostname}}"
    names = [container["image"], *(container["env"][f"DYNOFORM_{kind}_IMAGE"] for kind in ("RUN", "BUILD"))]
    assert all(name.startswith("10.0.0.1:") for name in names), names
    assert not alone["taskSpec"]["containerSpec"]["env"]["DYNOFORM_RUN_IMAGE"].startswith("10.0.0.1:")


def test_standbys_are_on_the_hosts_that_are_marked_with_images_that_these_can_get(
    declare: Callable[[dict[str, str]], list[dict[str, Any]]], spread: list[dict[str, Any]]
) -> None:
    hosts = {
        "one": {"address": "10.0.0.1", "platform": True},
        "two": {"address": "10.0.0.2", "role": "worker", "data": True},
    }
    declared = declare({**ON_A_DOMAIN, "dynoform:hosts": json.dumps(hosts)})
    labels = {name: each["variables"]["host_data"] for name, each in playbooks(declared, "dyno_runtime").items()}
    assert labels == {"one": "false", "two": "true"}
    for found, shared in ((declared, True), (spread, False)):
        (worker,) = [each for each in services(found) if each["name"] == "local_databases"]
        told = worker["taskSpec"]["containerSpec"]["env"]
        images = [told[f"DYNOFORM_{noun}_IMAGE"] for noun in ("POSTGRES_HA", "VALKEY", "KAFKA")]
        assert [image.startswith("10.0.0.1:") for image in images] == [shared] * 3, images


@pytest.fixture(scope="module")
def outliving(declare: Callable[[dict[str, str]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Three hosts, on two of which the platform's PostgreSQL has a standby and a third vote."""
    hosts = {
        "one": {"address": "10.0.0.1", "platform": True},
        "two": {"address": "10.0.0.2"},
        "three": {"address": "10.0.0.3"},
    }
    return declare({**ON_A_DOMAIN, "dynoform:hosts": json.dumps(hosts), "dynoform:storeStandby": "two, three"})


def test_the_store_has_a_standby_and_a_third_vote_on_the_hosts_that_are_named(outliving: list[dict[str, Any]]) -> None:
    found = {
        each["name"].removeprefix("local_postgres"): each
        for each in services(outliving)
        if each["name"].startswith("local_postgres")
    }
    platform = ["node.labels.dynoform.local.platform==true"]
    assert {name: each["taskSpec"]["placement"]["constraints"] for name, each in found.items()} == {
        "": platform,
        "-1": platform,
        "-2": ["node.hostname==two"],
        "-etcd-1": platform,
        "-etcd-2": ["node.hostname==two"],
        "-etcd-3": ["node.hostname==three"],
        "-address": ["node.labels.dynoform.local.platform!=true"],
    }
    ports = {name: [each["publishedPort"] for each in found[name]["endpointSpec"]["ports"]] for name in found}
    assert ports == {
        "": [7401], "-address": [7401], "-1": [7407, 7408], "-2": [7407, 7408],
        "-etcd-1": [7409, 7410], "-etcd-2": [7409, 7410], "-etcd-3": [7411, 7412],
    }  # fmt: skip
    for each in found.values():
        container = each["taskSpec"]["containerSpec"]
        assert container["image"].startswith("10.0.0.1:7400/platform/postgres-ha:")
        assert "repository.conf" not in [file["fileName"] for file in container["secrets"]], "nothing is archived"
    told = [each["taskSpec"]["containerSpec"]["env"] for name, each in found.items() if name in ("-1", "-2")]
    assert [each["MEMBER_OWNER"] for each in told] == ["dynoform"] * 2
    assert ["MEMBER_MAKES" in each for each in told] == [True, False]


def test_the_first_server_of_a_store_with_a_standby_goes_on_with_the_data_there_are(
    outliving: list[dict[str, Any]],
) -> None:
    volumes = {each["name"]: each["inputs"] for each in outliving if each["type"] == "docker:index/volume:Volume"}
    assert volumes["local-postgres-1-data"]["name"] == "local_postgres"
    (first,) = [each for each in services(outliving) if each["name"] == "local_postgres-1"]
    sources = {each["target"]: each.get("source") for each in first["taskSpec"]["containerSpec"]["mounts"]}
    assert sources["/var/lib/postgresql"] == "local_postgres"


def test_processes_find_the_store_at_their_own_host_with_a_certificate_for_that(
    outliving: list[dict[str, Any]], spread: list[dict[str, Any]], platform: list[dict[str, Any]]
) -> None:
    def told(declared: list[dict[str, Any]], name: str) -> set[str | None]:
        containers = [each["taskSpec"]["containerSpec"] for each in services(declared)]
        clients = [
            each for each in containers if "database_password" in {file["fileName"] for file in each.get("secrets", [])}
            and "DYNOFORM_STACK" in each.get("env", {})
        ]  # fmt: skip
        assert len(clients) == 6
        return {each["env"].get(name) for each in clients}

    trusted = {"/run/secrets/store-ca.crt"}
    assert told(outliving, "DYNOFORM_STORE_ADDRESS") == {"172.29.0.1"}
    assert told(spread, "DYNOFORM_STORE_ADDRESS") == told(platform, "DYNOFORM_STORE_ADDRESS") == {None}
    assert told(outliving, "DYNOFORM_STORE_AUTHORITY") == told(spread, "DYNOFORM_STORE_AUTHORITY") == trusted
    assert told(platform, "DYNOFORM_STORE_AUTHORITY") == {None}
    (shown,) = [each["inputs"] for each in outliving if each["name"] == "local-postgres-certificate"]
    assert shown["ipAddresses"] == ["10.0.0.1", "172.29.0.1", "10.0.0.2", "10.0.0.3"]
    made = playbooks(outliving, "dyno_runtime").values()
    assert [each["variables"]["dyno_runtime_platform_ports"] for each in made] == [[7401]] * 3


def test_with_one_host_more_the_platforms_has_two_of_three_votes(
    declare: Callable[[dict[str, str]], list[dict[str, Any]]],
) -> None:
    hosts = {"one": {"address": "10.0.0.1", "platform": True}, "two": {"address": "10.0.0.2", "role": "worker"}}
    declared = declare({**ON_A_DOMAIN, "dynoform:hosts": json.dumps(hosts), "dynoform:storeStandby": "two"})
    voters = [each for each in services(declared) if each["name"].startswith("local_postgres-etcd-")]
    assert [each["taskSpec"]["placement"]["constraints"] for each in voters] == [
        ["node.labels.dynoform.local.platform==true"],
        ["node.hostname==two"],
        ["node.labels.dynoform.local.platform==true"],
    ]


def test_the_api_alone_is_told_where_certificates_come_from(
    spread: list[dict[str, Any]], platform: list[dict[str, Any]]
) -> None:
    told, files = {}, {}
    for each in services(spread):
        container = each["taskSpec"]["containerSpec"]
        told[each["name"]] = {name for name in container.get("env", {}) if "ACME" in name}
        files[each["name"]] = {file["fileName"] for file in container.get("secrets", []) if "acme" in file["fileName"]}
    assert told.pop("local_api") == {"DYNOFORM_ACME_DIRECTORY", "DYNOFORM_ACME_EMAIL"}
    assert files.pop("local_api") == {"acme_account", "acme_authorities"}
    assert not any(told.values()) and not any(files.values())
    assert "acme" not in json.dumps(platform).lower().replace("acme_", "")


def test_what_opens_the_repository_of_backups_is_told_to_databases_alone(spread: list[dict[str, Any]]) -> None:
    files = {
        each["name"]: [file["fileName"] for file in each["taskSpec"]["containerSpec"].get("secrets", [])]
        for each in services(spread)
    }
    assert [name for name, each in files.items() if "backup_repository_key" in each] == ["local_databases"]
    told = [each["taskSpec"]["containerSpec"].get("env", {}) for each in services(spread)]
    assert [
        json.loads(each["DYNOFORM_BACKUP_REPOSITORY"])["bucket"]
        for each in told
        if "DYNOFORM_BACKUP_REPOSITORY" in each
    ] == ["shop-backups"]
    assert "id:secret" not in json.dumps(told)


def test_the_engine_that_takes_the_declarations_is_reached_by_ssh(spread: list[dict[str, Any]]) -> None:
    (provider,) = [each["inputs"] for each in spread if each["type"] == "pulumi:providers:docker"]
    assert provider["host"] == "ssh://root@host1.example.com:22"
    assert "StrictHostKeyChecking=accept-new" in provider["sshOpts"]


def test_everything_in_docker_is_on_that_engine(spread: list[dict[str, Any]]) -> None:
    elsewhere = [
        each["name"]
        for each in spread
        if each["type"].startswith("docker:") and "-docker" not in each.get("provider", "")
    ]
    assert elsewhere == []


def services(platform: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each["inputs"] for each in platform if each["type"] == SERVICE]


def test_platform_declares_what_is_recorded(
    platform: list[dict[str, Any]], same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("platform", platform)


def test_no_two_resources_share_type_and_name(platform: list[dict[str, Any]]) -> None:
    names = Counter((each["type"], each["name"]) for each in platform)
    assert [name for name, count in names.items() if count > 1] == []


def test_every_resource_is_named_after_the_stack(platform: list[dict[str, Any]]) -> None:
    assert [each["name"] for each in platform if not each["name"].startswith("local-")] == []


def test_every_docker_object_carries_the_stacks_label(platform: list[dict[str, Any]]) -> None:
    objects = [
        each for each in platform if each["type"].startswith("docker:index") and "image" not in each["type"].lower()
    ]
    assert len(objects) > 10
    for each in objects:
        assert {"label": "dynoform.stack", "value": "local"} in each["inputs"]["labels"], each["name"]


def test_services_write_what_is_unsafe_when_unset(platform: list[dict[str, Any]]) -> None:
    assert len(services(platform)) == 11
    for service in services(platform):
        task = service["taskSpec"]
        assert set(task["restartPolicy"]) >= {"condition", "delay", "window"}
        assert task["containerSpec"]["stopGracePeriod"] in {"10s", "30s"}
        assert task["containerSpec"]["capDrops"] == ["ALL"]
        assert task["containerSpec"]["readOnly"] is True
        assert task["resources"]["limits"]["memoryBytes"] > 0


def test_services_are_written_as_the_docker_plugin_reads_them_back(platform: list[dict[str, Any]]) -> None:
    """Each rule stands for a difference that the official plugin 5.2.0 would find at every run, or for a crash."""
    for service in services(platform):
        task = service["taskSpec"]
        container = task["containerSpec"]
        assert re.fullmatch(r"[^@]+:[\w.\[\]-]+", container["image"].rpartition("/")[2]), "an image without a tag"
        assert all(set(network) == {"id"} for network in task["networksAdvanceds"]), "a network not by its id alone"
        for mount in container.get("mounts", []):
            assert mount.get("tmpfsOptions", {}).get("mode", 0) <= 0o777
        for secret in container.get("secrets", []):
            assert {"secretId", "secretName"} <= set(secret)
        for port in service["endpointSpec"].get("ports", []):
            assert (service["endpointSpec"]["mode"], port["publishMode"]) == ("dnsrr", "host")
        assert {} not in (task["restartPolicy"], task["resources"]["limits"], container.get("privileges"))
        assert [text for text in durations(service) if not is_shortest(text)] == []


def durations(value: Any, key: str = "") -> list[str]:
    """All durations in a resource's inputs that are read back."""
    if isinstance(value, dict):
        return [text for name, each in value.items() if name != "convergeConfig" for text in durations(each, name)]
    if isinstance(value, list):
        return [text for each in value for text in durations(each, key)]
    timed = {"delay", "window", "monitor", "interval", "timeout", "startPeriod", "stopGracePeriod"}
    return [value] if key in timed else []


def is_shortest(text: str) -> bool:
    """Whether a duration is in Go's form, less the units that are zero: ``1m30s``, not ``90s``."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if match is None or not text:
        return False
    hours, minutes, seconds = match.groups()
    if text == "0s":
        return True
    return all(part is None or part.lstrip("0") == part for part in (hours, minutes, seconds)) and all(
        part is None or int(part) < 60 for part in (minutes, seconds)
    )


@pytest.mark.parametrize(
    ("text", "stable"), [("10s", True), ("1m30s", True), ("1h", True), ("0s", True), ("90s", False), ("1m0s", False)]
)
def test_durations_in_longer_forms_are_told(text: str, stable: bool) -> None:
    assert is_shortest(text) is stable


def test_no_secret_is_in_a_services_environment_or_arguments(platform: list[dict[str, Any]]) -> None:
    for service in services(platform):
        assert "[secret]" not in str(service["taskSpec"]["containerSpec"].get("env", {}))
        assert "password" not in str(service["taskSpec"]["containerSpec"].get("args", [])).lower()


def test_data_of_swarm_secrets_is_secret(platform: list[dict[str, Any]]) -> None:
    secrets = [each for each in platform if each["type"] == "docker:index/secret:Secret"]
    assert len(secrets) > 5
    assert {each["inputs"]["data"] for each in secrets} == {"[secret]"}

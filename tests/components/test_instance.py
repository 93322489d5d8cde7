"""The program of add-ons under mocks: a small stack for each, of the platform's own components."""

from collections.abc import Callable
from typing import Any

import pytest

ADDON = "0a1b2c3d-0000-4000-8000-000000000001"
TOLD: dict[str, Any] = {
    "stack": "local",
    "addon": ADDON,
    "service": "heroku-postgresql",
    "image": "dynoform/postgres:0123456789ab",
    "network": "dyno-network-id",
    "address": "172.29.0.1",
    "port": 15000,
    "memory_mib": 256,
    "cache_mib": 32,
    "connections": 28,
    "constraints": [],
    "repository": "what opens it",
    "elsewhere": False,
    "restored": False,
    "authority": {"cert_pem": "a-certificate", "key_pem": "a-key"},
}
PLATFORM, OTHERS = "node.labels.dynoform.local.platform==true", "node.labels.dynoform.local.platform!=true"
GATEWAY = "172.29.96.1"
Declare = Callable[[dict[str, Any]], list[dict[str, Any]]]


def test_a_postgres_is_what_was_recorded(instance: Declare, same_as_recorded: Callable[[str, Any], None]) -> None:
    same_as_recorded("instance_postgres", instance(TOLD))


POOLED = {
    **TOLD,
    "pool": {
        "image": "dynoform/postgres:0123456789ab",
        "host_network": "host-network-id",
        "port": 15001,
        "password": "a-password",
        "database": "d0123456789abcd",
        "size": 90,
    },
    "shares_socket": True,
    "filed": {"dynoform.stack": "local", "dynoform.app": "an-app", "dynoform.dyno": "postgres.1"},
}


def test_a_postgres_with_a_pool_is_what_was_recorded(
    instance: Declare, same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("instance_pool", instance(POOLED))


def test_a_pool_is_a_service_of_its_own_and_has_no_password_in_its_environment(instance: Declare) -> None:
    services = [each["inputs"] for each in instance(POOLED) if each["type"].endswith("Service")]
    server, pool = sorted(services, key=lambda each: str(each["name"]))
    assert pool["name"] == f"{server['name']}-pool"
    container = pool["taskSpec"]["containerSpec"]
    assert "a-password" not in str(container["env"]) and container["env"]["POOL_SIZE"] == "90"
    files = {"server.crt", "server.key", "pool_password", "authority.crt"}
    assert {secret["fileName"] for secret in container["secrets"]} == files
    assert server["taskSpec"]["logDriver"]["options"]["env"] == "dynoform.stack,dynoform.app,dynoform.dyno"
    assert "env" not in pool["taskSpec"]["logDriver"]["options"]


def test_a_pool_beside_a_single_server_has_its_socket_and_is_not_its_user(instance: Declare) -> None:
    services = [each["inputs"] for each in instance(POOLED) if each["type"].endswith("Service")]
    server, pool = (each["taskSpec"]["containerSpec"] for each in sorted(services, key=lambda each: str(each["name"])))
    sockets = [next(m for m in each["mounts"] if m["target"] == "/run/postgresql") for each in (server, pool)]
    assert [(each["type"], each["source"]) for each in sockets] == [("volume", f"local_addon-{ADDON}-socket")] * 2
    assert not sockets[0].get("readOnly") and sockets[1]["readOnly"] is True
    assert (pool["env"]["POOL_HOST"], pool["env"]["POOL_PORT"]) == ("/run/postgresql", "5432")
    # To the server at its socket, whoever has its own user's number is the superuser.
    assert {file["fileUid"] for file in server["secrets"]} == {"800"} and "user" not in server
    assert {file["fileUid"] for file in pool["secrets"]} == {"801"} and pool["user"] == "801"


def test_a_pool_beside_a_single_server_listens_on_the_hosts_own_network_at_one_address(instance: Declare) -> None:
    (pool,) = [each["inputs"] for each in instance(POOLED) if str(each["inputs"].get("name", "")).endswith("-pool")]
    assert [each["id"] for each in pool["taskSpec"]["networksAdvanceds"]] == ["host-network-id"]
    environment = pool["taskSpec"]["containerSpec"]["env"]
    assert (environment["POOL_LISTEN_ADDRESS"], environment["POOL_LISTEN_PORT"]) == (TOLD["address"], "15001")
    assert not pool["endpointSpec"].get("ports")
    assert {"label": "dynoform.port", "value": "15001"} in pool["labels"]


def test_a_pool_of_a_database_on_several_hosts_is_on_each(instance: Declare) -> None:
    declared = instance({**POOLED, "shares_socket": False, "constraints": [PLATFORM], "gateway": GATEWAY})
    services = [each["inputs"] for each in declared if each["type"].endswith("Service")]
    here, elsewhere = sorted((each for each in services if "-pool" in each["name"]), key=lambda each: len(each["name"]))
    assert elsewhere["name"] == f"{here['name']}-address" and elsewhere["mode"] == {"global": True}
    tasks = [each["taskSpec"] for each in (here, elsewhere)]
    assert [task["placement"]["constraints"] for task in tasks] == [[PLATFORM], [OTHERS]]
    assert [task["containerSpec"]["env"]["POOL_HOST"] for task in tasks] == [TOLD["address"], GATEWAY]
    assert here["endpointSpec"]["ports"] == elsewhere["endpointSpec"]["ports"]


def test_a_repository_that_is_elsewhere_is_not_on_the_volume(instance: Declare) -> None:
    declared = instance({**TOLD, "elsewhere": True})
    (service,) = [each for each in declared if each["type"].endswith("Service")]
    mounts = service["inputs"]["taskSpec"]["containerSpec"]["mounts"]
    assert "/var/lib/pgbackrest" not in {each["target"] for each in mounts}
    assert service["inputs"]["taskSpec"]["containerSpec"]["env"]["POSTGRES_REPOSITORY"]


def test_a_redis_is_what_was_recorded(instance: Declare, same_as_recorded: Callable[[str, Any], None]) -> None:
    told = {**TOLD, "service": "heroku-redis", "image": "dynoform/valkey:0123456789ab", "address": "data.example.com"}
    same_as_recorded("instance_redis", instance({**told, "constraints": ["node.labels.dynoform.local.platform==true"]}))


def redis_group(members: int) -> dict[str, Any]:
    """What is told of a Redis with HA."""
    ports = [[15001 + 2 * index, 15002 + 2 * index] for index in range(members)]
    images = ["dynoform/valkey:0123456789ab"] * members
    more = {"members": ports, "images": images, "password": "what members know each other by", "look_password": "look"}
    return {**TOLD, **more, "service": "heroku-redis", "image": "dynoform/valkey:0123456789ab", "memory_mib": 196}


def test_a_redis_with_ha_is_what_was_recorded(instance: Declare, same_as_recorded: Callable[[str, Any], None]) -> None:
    same_as_recorded("instance_redis_group", instance(redis_group(3)))


def redis_on_three_hosts() -> dict[str, Any]:
    """What is told of a Redis with HA whose members are on three hosts."""
    return {
        **redis_group(3),
        "constraints": [PLATFORM],
        "hosts": [None, ["two", "10.0.0.2"], ["three", "10.0.0.3"]],
        "gateway": GATEWAY,
    }


def test_a_redis_on_three_hosts_is_what_was_recorded(
    instance: Declare, same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("instance_redis_far", instance(redis_on_three_hosts()))


def test_members_of_a_redis_on_other_hosts_are_pinned_there_with_volumes_that_are_made_there(instance: Declare) -> None:
    declared, own = instance(redis_on_three_hosts()), f"local_addon-{ADDON}"
    services = {
        each["inputs"]["name"].removeprefix(own): each["inputs"]["taskSpec"]
        for each in declared
        if each["type"].endswith("Service")
    }
    pinned = {name: each["placement"]["constraints"] for name, each in services.items()}
    two, three, here = ["node.hostname==two"], ["node.hostname==three"], [PLATFORM]
    assert pinned == {"": here, "-address": [OTHERS], "-1": here, "-2": two, "-3": three}
    environment = services[""]["containerSpec"]["env"]
    assert environment["VALKEY_MEMBERS"] == "172.29.0.1:15001:15002 10.0.0.2:15003:15004 10.0.0.3:15005:15006"
    made = [each["inputs"]["name"] for each in declared if each["type"].endswith("Volume")]
    assert made == [own]
    for number in (2, 3):
        (mount,) = [each for each in services[f"-{number}"]["containerSpec"]["mounts"] if each["type"] == "volume"]
        labels = {each["label"]: each["value"] for each in mount["volumeOptions"]["labels"]}
        assert (mount["source"], labels["dynoform.addon"]) == (f"{own}-{number}", ADDON)
    (certificate,) = [each["inputs"] for each in declared if each["type"].endswith(":Certificate")]
    assert {"10.0.0.2", "10.0.0.3", GATEWAY} <= set(certificate["ipAddresses"])


def test_a_member_takes_more_clients_than_can_be_led_to_it(instance: Declare) -> None:
    def most(told: dict[str, Any]) -> dict[str, int]:
        services = [each["inputs"] for each in instance(told) if each["type"].endswith("Service")]
        own = f"local_addon-{ADDON}"
        return {
            each["name"].removeprefix(own): int(each["taskSpec"]["containerSpec"]["env"]["VALKEY_MAXCLIENTS"])
            for each in services
        }

    one = most({**redis_group(3), "connections": 40})
    assert one == {"": 40, "-1": 57, "-2": 57, "-3": 57}, "all clients, a look, and 16 of its own"
    each = most({**redis_on_three_hosts(), "connections": 40})
    assert (each[""], each["-address"], each["-1"]) == (40, 40, 16 * 41 + 16)


def test_a_redis_that_becomes_a_group_keeps_its_volume_and_its_port(instance: Declare) -> None:
    single = instance({**TOLD, "service": "heroku-redis", "image": "dynoform/valkey:0123456789ab"})
    group, alone = instance(redis_group(3)), instance(redis_group(0))

    def volumes(declared: list[dict[str, Any]]) -> dict[str, str]:
        return {each["name"]: each["inputs"]["name"] for each in declared if each["type"].endswith("Volume")}

    def services(declared: list[dict[str, Any]]) -> dict[str, Any]:
        return {each["inputs"]["name"]: each["inputs"] for each in declared if each["type"].endswith("Service")}

    (first,) = volumes(single).items()
    assert first in volumes(group).items() and volumes(alone) == dict([first])
    name = f"local_addon-{ADDON}"
    assert [*services(single)] == [*services(alone)] == [name]
    assert sorted(services(group)) == [name, f"{name}-1", f"{name}-2", f"{name}-3"]
    for declared in (single, group, alone):
        assert services(declared)[name]["endpointSpec"]["ports"][0]["publishedPort"] == 15000
    front = services(group)[name]["taskSpec"]["containerSpec"]
    assert front["commands"] == ["/opt/dynoform/front"]
    assert {each["fileName"] for each in front["secrets"]} == {"members", "ca.crt"}
    assert not [each for each in front["mounts"] if each["type"] == "volume"]
    for number in (1, 2, 3):
        member = services(group)[f"{name}-{number}"]
        told = member["taskSpec"]["containerSpec"]["env"]
        assert told["VALKEY_NUMBER"] == str(number)
        assert told["VALKEY_MEMBERS"] == "172.29.0.1:15001:15002 172.29.0.1:15003:15004 172.29.0.1:15005:15006"
        ports = [(each["targetPort"], each["publishedPort"]) for each in member["endpointSpec"]["ports"]]
        assert ports == [(6379, 14999 + 2 * number), (26379, 15000 + 2 * number)]
        files = {each["fileName"] for each in member["taskSpec"]["containerSpec"]["secrets"]}
        assert files == {"members", "look", "ca.crt", "server.crt", "server.key"}
    assert "what members know each other by" not in str(group)


def premium() -> dict[str, Any]:
    """What is told of a database with a standby."""
    voters = [[15005, 15006], [15007, 15008], [15009, 15010]]
    return {
        **TOLD,
        "image": "dynoform/postgres-ha:0123456789ab",
        "servers": [[15001, 15002], [15003, 15004]],
        "voters": voters,
    }


def test_a_postgres_with_a_standby_is_what_was_recorded(
    instance: Declare, same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("instance_postgres_ha", instance(premium()))


def test_servers_with_a_standby_have_one_address_and_trust_an_authority_of_their_own(instance: Declare) -> None:
    declared = instance(premium())
    services = {each["inputs"]["name"]: each["inputs"] for each in declared if each["type"].endswith("Service")}
    own = f"local_addon-{ADDON}"
    parts = [f"{own}{noun}" for noun in ("", "-1", "-2", "-etcd-1", "-etcd-2", "-etcd-3")]
    assert sorted(services) == parts
    published = {
        name: [port["publishedPort"] for port in each["endpointSpec"]["ports"]] for name, each in services.items()
    }
    assert published[own] == [15000] and published[f"{own}-2"] == [15003, 15004]
    for each in services.values():
        container = each["taskSpec"]["containerSpec"]
        assert (container["readOnly"], container["capDrops"], container.get("capAdds")) == (True, ["ALL"], None)
        files = {secret["fileName"] for secret in container["secrets"]}
        shown = {"address.crt", "address.key"} if each is services[own] else {"member.crt", "member.key"}
        assert {"members.crt"} | shown <= files, "clients are led by who is no member"
        assert not files & ({"member.key", "address.key"} - shown)
        labels = {label["label"]: label["value"] for label in each["labels"]}
        assert labels == {"dynoform.stack": "local", "dynoform.addon": ADDON, "dynoform.addon.parts": "6"}
    first, second = (services[f"{own}-{number}"]["taskSpec"]["containerSpec"] for number in (1, 2))
    assert first["env"]["MEMBER_MAKES"] == "yes" and "MEMBER_MAKES" not in second["env"], (
        "one of them makes the cluster"
    )
    assert first["env"]["MEMBER_OTHERS"] == "172.29.0.1:15004"
    assert first["env"]["MEMBER_ETCD"] == "172.29.0.1:15005 172.29.0.1:15007 172.29.0.1:15009"
    front = services[own]["taskSpec"]["containerSpec"]
    assert front["env"]["ADDRESS_MEMBERS"] == "member-1=172.29.0.1:15001:15002 member-2=172.29.0.1:15003:15004"
    certificates = [each["inputs"] for each in declared if each["type"].endswith("Certificate")]
    names = {("172.29.0.1", False), ("member", True), ("address", True)}
    assert {(each["commonName"], each["client"]) for each in certificates} == names
    volumes = {each["inputs"]["name"] for each in declared if each["type"].endswith("Volume")}
    assert volumes == {f"{own}-backups", *(f"{own}-{noun}" for noun in ("1", "2", "etcd-1", "etcd-2", "etcd-3"))}


def test_names_in_certificates_are_no_longer_than_x509_allows(instance: Declare) -> None:
    names = [str(each["inputs"]["commonName"]) for each in instance(premium()) if "Certificate" in each["type"]]
    assert len(names) == 5 and max(len(each) for each in names) <= 64


def far() -> dict[str, Any]:
    """What is told of a database with its standby on another host, and etcd on three."""
    second, third = ["two", "10.0.0.2"], ["three", "10.0.0.3"]
    hosts = [None, second, None, second, third]
    return {**premium(), "constraints": [PLATFORM], "hosts": hosts, "shells": [15011, 15012], "gateway": GATEWAY}


def test_a_postgres_with_its_standby_on_another_host_is_what_was_recorded(
    instance: Declare, same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("instance_postgres_ha_far", instance(far()))


def test_members_on_other_hosts_are_pinned_there_and_known_by_those_hosts_addresses(instance: Declare) -> None:
    declared = instance(far())
    own = f"local_addon-{ADDON}"
    services = {
        each["inputs"]["name"].removeprefix(own): each["inputs"]
        for each in declared
        if each["type"].endswith("Service")
    }
    pinned = {name: each["taskSpec"]["placement"]["constraints"] for name, each in services.items()}
    two, three, here = ["node.hostname==two"], ["node.hostname==three"], [PLATFORM]
    assert pinned == {
        "": here,
        "-address": [OTHERS],
        "-repository": here,
        "-1": here,
        "-etcd-1": here,
        "-2": two,
        "-etcd-2": two,
        "-etcd-3": three,
    }
    told = {name: each["taskSpec"]["containerSpec"]["env"] for name, each in services.items()}
    assert told["-1"]["MEMBER_OTHERS"] == "10.0.0.2:15004" and told["-2"]["MEMBER_OTHERS"] == "172.29.0.1:15002"
    assert told["-1"]["MEMBER_ETCD"] == "172.29.0.1:15005 10.0.0.2:15007 10.0.0.3:15009"
    assert told[""]["ADDRESS_MEMBERS"] == "member-1=172.29.0.1:15001:15002 member-2=10.0.0.2:15003:15004"
    assert told["-repository"] == {"AT_SERVERS": "2=10.0.0.2:15012"}
    assert told["-2"]["MEMBER_REPOSITORY"] == "172.29.0.1:15011" and "MEMBER_REPOSITORY" not in told["-1"]
    certificates = {each["inputs"]["commonName"]: each["inputs"] for each in declared if "Certificate" in each["type"]}
    assert certificates["member"]["ipAddresses"] == ["172.29.0.1", "10.0.0.2", "10.0.0.3"]
    assert certificates["172.29.0.1"]["ipAddresses"] == ["172.29.0.1", "10.0.0.2", "10.0.0.3", GATEWAY]


@pytest.mark.parametrize("told", ["postgres", "redis"])
def test_one_on_several_hosts_is_found_on_each_at_the_same_port_by_who_may_look_and_nothing_else(
    instance: Declare, told: str
) -> None:
    declared = instance(far() if told == "postgres" else redis_on_three_hosts())
    own = f"local_addon-{ADDON}"
    services = {each["inputs"]["name"]: each["inputs"] for each in declared if each["type"].endswith("Service")}
    here, elsewhere = services[own], services[f"{own}-address"]
    assert "global" in elsewhere["mode"] and "replicated" in here["mode"]
    assert elsewhere["endpointSpec"] == here["endpointSpec"], "the same port on each host"
    (port,) = elsewhere["endpointSpec"]["ports"]
    assert (port["publishedPort"], port["publishMode"]) == (15000, "host")
    ours, theirs = (each["taskSpec"]["containerSpec"] for each in (here, elsewhere))
    assert theirs["env"] == ours["env"] and not [each for each in theirs["mounts"] if each["type"] == "volume"]
    files = {secret["fileName"] for secret in theirs["secrets"]}
    assert files == ({"members.crt", "address.crt", "address.key"} if told == "postgres" else {"look", "ca.crt"})
    parts = {label["value"] for each in services.values() for label in each["labels"] if "parts" in label["label"]}
    assert parts == ({str(len(services))} if told == "postgres" else set())


def test_volumes_on_other_hosts_are_made_there_and_found_by_their_labels(instance: Declare) -> None:
    declared = instance(far())
    own = f"local_addon-{ADDON}"
    made = {each["inputs"]["name"] for each in declared if each["type"].endswith("Volume")}
    assert made == {f"{own}-backups", f"{own}-1", f"{own}-etcd-1"}
    mounts = [
        mount
        for each in declared
        if each["type"].endswith("Service")
        for mount in each["inputs"]["taskSpec"]["containerSpec"]["mounts"]
        if mount["type"] == "volume"
    ]
    labels = {
        mount["source"]: {each["label"]: each["value"] for each in mount["volumeOptions"]["labels"]}
        for mount in mounts
        if mount.get("volumeOptions")
    }
    mine = {"dynoform.stack": "local", "dynoform.addon": ADDON}
    assert labels == {f"{own}-{noun}": mine for noun in ("2", "etcd-2", "etcd-3")}
    assert [mount["source"] for mount in mounts].count(f"{own}-backups") == 2, "of the first server and the repository"


def test_a_pool_before_servers_with_a_standby_reaches_whichever_is_primary(instance: Declare) -> None:
    declared = instance({**premium(), "pool": POOLED["pool"] | {"port": 15011}, "filed": POOLED["filed"]})
    services = {
        each["inputs"]["name"]: each["inputs"]["taskSpec"] for each in declared if each["type"].endswith("Service")
    }
    own = f"local_addon-{ADDON}"
    pool = services[f"{own}-pool"]["containerSpec"]
    assert pool["image"].startswith("dynoform/postgres:")
    assert (pool["env"]["POOL_HOST"], pool["env"]["POOL_PORT"]) == (TOLD["address"], "15000")
    assert "/run/postgresql" not in [mount["target"] for mount in pool["mounts"]] and pool["user"] == "801"
    assert [each["id"] for each in services[f"{own}-pool"]["networksAdvanceds"]] == [TOLD["network"]]
    filed = {name for name, each in services.items() if "env" in each["logDriver"]["options"]}
    assert filed == {f"{own}-1", f"{own}-2"}, "what servers say is in the app's log, what is beside them is not"


def test_no_server_of_a_copy_with_a_standby_begins_with_nothing(instance: Declare) -> None:
    declared = instance({**premium(), "restored": True})
    assert "MEMBER_MAKES" not in str(declared)
    assert "what opens it" not in str(declared)


def kafka(brokers: int) -> dict[str, Any]:
    """What is told of a cluster."""
    same = {name: TOLD[name] for name in ("stack", "addon", "network", "address", "constraints", "authority")}
    ports = [[15000 + 2 * index, 15001 + 2 * index] for index in range(brokers)]
    images = ["dynoform/kafka:0123456789ab"] * brokers
    more = {"images": images, "cluster_id": "ChssPQAAQACAAAAAAAAAAQ", "ports": ports}
    return {**same, **more, "service": "heroku-kafka", "memory_mib": 512, "heap_mib": 192}


def test_a_kafka_is_what_was_recorded(instance: Declare, same_as_recorded: Callable[[str, Any], None]) -> None:
    same_as_recorded("instance_kafka", instance(kafka(3)))


def test_brokers_are_voters_at_ports_of_their_own_and_restart_one_after_the_other(instance: Declare) -> None:
    declared = instance(kafka(3))
    services = [each for each in declared if each["type"].endswith("Service")]
    assert [each["inputs"]["name"] for each in services] == [f"local_addon-{ADDON}-{number}" for number in (1, 2, 3)]
    containers = [each["inputs"]["taskSpec"]["containerSpec"] for each in services]
    voters = "1@172.29.0.1:15001,2@172.29.0.1:15003,3@172.29.0.1:15005"
    assert {each["env"]["KAFKA_VOTERS"] for each in containers} == {voters}
    published = [each["inputs"]["endpointSpec"]["ports"] for each in services]
    assert [[port["publishedPort"] for port in each] for each in published] == [
        [15000, 15001], [15002, 15003], [15004, 15005],
    ]  # fmt: skip
    for each in containers:
        assert (each["readOnly"], each["capDrops"], each.get("capAdds")) == (True, ["ALL"], None)
        assert {secret["fileName"] for secret in each["secrets"]} == {"server.crt", "server.key", "ca.crt"}
        assert {secret["fileUid"] for secret in each["secrets"]} == {"804"}
    certificates = [each["inputs"] for each in declared if each["type"].endswith("Certificate")]
    assert {(each["commonName"], each["client"]) for each in certificates} == {("broker", True)}


def kafka_on_three_hosts() -> dict[str, Any]:
    """What is told of a cluster whose brokers are on three hosts."""
    hosts = [None, ["two", "10.0.0.2"], ["three", "10.0.0.3"]]
    return {**kafka(3), "constraints": ["a-constraint"], "hosts": hosts}


def test_a_kafka_on_three_hosts_is_what_was_recorded(
    instance: Declare, same_as_recorded: Callable[[str, Any], None]
) -> None:
    same_as_recorded("instance_kafka_far", instance(kafka_on_three_hosts()))


def test_brokers_on_other_hosts_are_pinned_there_and_known_by_the_addresses_there(instance: Declare) -> None:
    declared, own = instance(kafka_on_three_hosts()), f"local_addon-{ADDON}"
    services = [each["inputs"] for each in declared if each["type"].endswith("Service")]
    specs = {each["name"].removeprefix(own): each["taskSpec"] for each in services}
    pinned = {name: each["placement"]["constraints"] for name, each in specs.items()}
    assert pinned == {"-1": ["a-constraint"], "-2": ["node.hostname==two"], "-3": ["node.hostname==three"]}
    told = [each["containerSpec"]["env"] for each in specs.values()]
    assert {each["KAFKA_VOTERS"] for each in told} == {"1@172.29.0.1:15001,2@10.0.0.2:15003,3@10.0.0.3:15005"}
    addresses = ["172.29.0.1:15000", "10.0.0.2:15002", "10.0.0.3:15004"]
    assert [each["KAFKA_ADVERTISED"] for each in told] == addresses
    certificates = [each["inputs"] for each in declared if each["type"].endswith(":Certificate")]
    assert [f"{each['ipAddresses'][0]}" for each in certificates] == [each.partition(":")[0] for each in addresses]
    assert [each["inputs"]["name"] for each in declared if each["type"].endswith("Volume")] == [f"{own}-1"]
    for number in (2, 3):
        mounts = specs[f"-{number}"]["containerSpec"]["mounts"]
        (mount,) = [each for each in mounts if each["type"] == "volume"]
        labels = {each["label"]: each["value"] for each in mount["volumeOptions"]["labels"]}
        assert (mount["source"], labels["dynoform.addon"]) == (f"{own}-{number}", ADDON)


def test_of_several_brokers_one_that_is_lost_is_missed(instance: Declare) -> None:
    for count, parts in ((1, None), (3, "3")):
        services = [each["inputs"] for each in instance(kafka(count)) if each["type"].endswith("Service")]
        labels = [{label["label"]: label["value"] for label in each["labels"]} for each in services]
        assert [each.get("dynoform.addon.parts") for each in labels] == [parts] * count


@pytest.mark.parametrize("service", ["heroku-postgresql", "heroku-redis"])
def test_all_that_an_addon_has_bears_its_id_and_goes_with_it(instance: Declare, service: str) -> None:
    declared = instance({**TOLD, "service": service})
    on_the_engine = [each for each in declared if each["type"].startswith("docker:")]
    assert {each["type"].rpartition(":")[2] for each in on_the_engine} == {"Secret", "Service", "Volume"}
    for each in on_the_engine:
        labels = {label["label"]: label["value"] for label in each["inputs"]["labels"]}
        assert labels == {"dynoform.stack": "local", "dynoform.addon": ADDON}
    (server,) = [each["inputs"] for each in on_the_engine if each["type"].endswith("Service")]
    assert server["name"] == f"local_addon-{ADDON}"
    assert [port["publishedPort"] for port in server["endpointSpec"]["ports"]] == [15000]
    container = server["taskSpec"]["containerSpec"]
    assert (container["readOnly"], container["capDrops"], container.get("capAdds")) == (True, ["ALL"], None)
    own = {"repository.conf"} if service == "heroku-postgresql" else set()
    assert {secret["fileName"] for secret in container["secrets"]} == {"server.crt", "server.key"} | own


def test_a_copy_waits_for_its_data_and_what_opens_its_repository_is_nowhere_in_clear(instance: Declare) -> None:
    declared = instance({**TOLD, "restored": True})
    (server,) = [each["inputs"] for each in declared if each["type"].endswith("Service")]
    assert server["taskSpec"]["containerSpec"]["env"]["POSTGRES_AWAITS"] == "yes"
    assert "what opens it" not in str(declared)
    volumes = {each["inputs"]["name"] for each in declared if each["type"].endswith("Volume")}
    assert volumes == {f"local_addon-{ADDON}", f"local_addon-{ADDON}-backups"}

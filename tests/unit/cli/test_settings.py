"""A stack's configuration is checked before anything runs, each mistake named with its key."""

from pathlib import Path

import pytest

from dynoform.cli import settings
from dynoform.cli.places import CHECKOUT
from dynoform.errors import DynoformError


def load(tmp_path: Path, text: str) -> settings.StackSettings:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text(text, encoding="utf-8")
    return settings.load(CHECKOUT, "mine", file)


@pytest.mark.parametrize("name", ["local", "test"])
def test_our_own_stacks_are_right(name: str) -> None:
    assert settings.load(CHECKOUT, name).port("httpPort") > 0


def test_defaults_come_from_the_project(tmp_path: Path) -> None:
    found = load(tmp_path, "config:\n  dynoform:httpPort: 9000\n")
    assert (found.port("httpPort"), found.port("httpsPort"), found.text("domain")) == (9000, 8443, "localhost")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "config: {}",
        'config:\n  dynoform:httpPort: "9000"\n',
        "config:\n  httpPort: 9000\n",
        "config:\n  docker:host: tcp://elsewhere\n",
        'config:\n  dynoform:listenAddress: "::1"\n',
        "config:\n  dynoform:apps: {shop: {source: a, formation: {web: {quantity: 0, size: 1x}}}}\n",
        "config:\n  dynoform:email:\n    secure: v1:abc\n",
        "encryptionsalt: v1:x\nconfig:\n  dynoform:apps: {}\n",
    ],
)
def test_right_configuration_is_taken(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).text("domain") == "localhost"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dynoform:htpPort: 1", "dynoform:htpPort: is not a setting — did you mean httpPort?"),
        ("dynoform:colour: red", "dynoform:colour: is not a setting — there are acmeAccountKey, "),
        (
            "dynoform:httpPort: many",
            "dynoform:httpPort: must be an integer, but is 'many' — set it with: pulumi config",
        ),
        ("dynoform:httpPort: true", "dynoform:httpPort: must be an integer, but is True"),
        ("dynoform:httpPort: 70000", "dynoform:httpPort: 70000 is not a port (1 to 65535) — choose another"),
        ("dynoform:httpPort: 8443", "dynoform:httpsPort: 8443 is also httpPort — choose another"),
        ("dynoform:platformPort: 65530", "dynoform:platformPort: 65530 is not the first of 7 ports (at most 65529)"),
        (
            "dynoform:httpPort: 7402",
            "dynoform:httpPort: 7402 is one of the platform's own, 7400 to 7406 (platformPort) — choose another",
        ),
        ("dynoform:httpPort: {secure: v1:abc}", "dynoform:httpPort: is encrypted, but needed before anything runs"),
        ("dynoform:dynoSubnet: 8.8.8.0/24", "dynoform:dynoSubnet: 8.8.8.0/24 must be a private network of at least 16"),
        ("dynoform:domain: Apps.example", "dynoform:domain: 'Apps.example' is not a domain: lower-case letters"),
        (f"dynoform:domain: {'a.' * 120}b", "dynoform:domain: 'a.a."),
        ("dynoform:domain: a..b", "dynoform:domain: 'a..b' is not a domain"),
        (
            "dynoform:email: me@",
            "dynoform:email: 'me@' is not an e-mail address — give one such as operator@example.com",
        ),
        (
            "dynoform:listenAddress: eth0",
            "dynoform:listenAddress: 'eth0' is no IPv4 or IPv6 address — give one such as 127.0.0.1",
        ),
        ("dynoform:apps: {x: {source: a}}", "dynoform:apps.x: Name is too short (minimum is 3 characters) — choose"),
        ("dynoform:apps: {www: {source: a}}", "dynoform:apps.www: is a name of the platform's own — choose another"),
        ("dynoform:apps: {123: {source: a}}", "dynoform:apps.123: Name must start with a letter"),
        ("dynoform:apps: {shop: a}", "dynoform:apps.shop: must be a map — write it as name: value"),
        ("dynoform:apps: {shop: {source: 1}}", "dynoform:apps.shop: source (the directory of the app) is missing"),
        ("dynoform:apps: {shop: {source: a, config: [b]}}", "dynoform:apps.shop.config: must be a map"),
        (
            "dynoform:apps: {shop: {source: a, formation: {web: {quantity: yes}}}}",
            "dynoform:apps.shop.formation.web: quantity True is not a number of dynos — give 0 or more",
        ),
        (
            "dynoform:apps: {shop: {source: a, formation: {web: {size: XXL}}}}",
            "dynoform:apps.shop.formation.web: Couldn't find that dyno size (XXL). Available sizes are: Eco, Basic",
        ),
        ("dynoform:routing: least", "dynoform:routing: 'least' is no way to choose a dyno"),
        ("dynoform:metricsPort: 7403", "dynoform:metricsPort: 7403 is also one of the platform's own (platformPort)"),
        ("dynoform:oldStacks: heroku-20", "dynoform:oldStacks: Couldn't find that stack (heroku-20)"),
        ("dynoform:proxyProtocolFrom: ::/0", "dynoform:proxyProtocolFrom: ::/0 is everybody"),
        ("dynoform:routerAddresses: here", "dynoform:routerAddresses: 'here' is no IPv4 address"),
        (
            "dynoform:routerAddresses: 10.0.0.9",
            "dynoform:routerAddresses: 0 hosts are declared, and one has to take over",
        ),
        ("dynoform:storeStandby: two", "dynoform:storeStandby: 'two' is none of the hosts"),
        ("dynoform:domain: [a]", "dynoform:domain: must be a string, but is ['a']"),
        ("dynoform:apps: shop", "dynoform:apps: must be an object, but is 'shop'"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DynoformError) as caught:
        load(tmp_path, f"config:\n  {text}\n")
    assert str(caught.value).startswith(f"Pulumi.mine.yaml: {message}")


@pytest.mark.parametrize("text", ["config: [a", "config: nothing", "- a"])
def test_file_that_is_no_configuration_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DynoformError, match=r"Pulumi\.mine\.yaml.*mend the file"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("httpPort: 7407", "dynoform:httpPort: 7407 is one of the platform's own, 7407 to 7412 (storeStandby)"),
        ("metricsPort: 7412", "dynoform:metricsPort: 7412 is one of the platform's own, 7407 to 7412 (storeStandby)"),
        ("platformPort: 65529", "dynoform:platformPort: 65529 leaves no 6 ports above its own 7 for storeStandby"),
    ],
)
def test_a_standby_of_the_store_needs_ports_of_its_own(tmp_path: Path, line: str, message: str) -> None:
    hosts = "{one: {address: 10.0.0.1, platform: true}, two: {address: 10.0.0.2, role: worker}}"
    given = f"domain: a.example\n  listenAddress: 0.0.0.0\n  hosts: {hosts}\n  {line}".replace("\n  ", "\n  dynoform:")
    load(tmp_path, f"config:\n  dynoform:{given}\n")
    with pytest.raises(DynoformError) as caught:
        load(tmp_path, f"config:\n  dynoform:{given}\n  dynoform:storeStandby: two\n")
    assert message in str(caught.value)


def test_missing_file_is_named() -> None:
    with pytest.raises(DynoformError, match=r"stack staging: there is no .*Pulumi\.staging\.yaml") as caught:
        settings.load(CHECKOUT, "staging")
    own = set(settings.READ_FIRST) - {"listenAddress", "hosts", "ec2"}
    assert all(key in caught.value.next_step for key in own)


def test_a_fleet_at_ec2_is_checked_before_anything_runs(tmp_path: Path) -> None:
    ec2 = "{region: eu-central-1, zones: [eu-central-1a], adminNetworks: [203.0.113.0/24], publicKey: ssh-ed25519 A}"
    text = f"config:\n  dynoform:domain: a.example\n  dynoform:listenAddress: 0.0.0.0\n  dynoform:ec2: {ec2}\n"
    assert load(tmp_path, text + "  dynoform:hosts: {one: {}}\n").hosts == {"one": {}}
    with pytest.raises(DynoformError, match=r"dynoform:hosts.one: has an address, and EC2 gives it one"):
        load(tmp_path, text + "  dynoform:hosts: {one: {address: 10.0.0.1}}\n")


def test_hosts_that_nobody_could_reach_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(DynoformError) as caught:
        load(tmp_path, "config:\n  dynoform:hosts: {one: {address: 10.0.0.1}}\n")
    assert str(caught.value).startswith("Pulumi.mine.yaml: dynoform:domain: localhost is each machine itself")

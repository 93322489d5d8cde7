"""What an operator may write in a stack's configuration, and what each mistake is told."""

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config

from components.settings import AcmeSettings, FormationSettings, PlatformPorts, Settings
from dynoform.domain import api_certificates, stack_settings
from tests.integration.certificates import Authority

DEFAULTS = {
    "domain": "localhost",
    "httpPort": "8080",
    "httpsPort": "8443",
    "listenAddress": "127.0.0.1",
    "execAddress": "127.0.0.80",
    "platformPort": "7400",
    "email": "operator@localhost",
    "dynoSubnet": "172.29.0.0/22",
    "platformSubnet": "172.29.4.0/24",
}


@pytest.fixture
def load() -> Iterator[Any]:
    def settings(secret: list[str] | None = None, **changes: Any) -> Settings:
        values = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in {**DEFAULTS, **changes}.items()
        }
        config.set_all_config({f"dynoform:{key}": value for key, value in values.items()}, secret)
        pulumi.runtime.settings.SETTINGS.project = "dynoform"
        pulumi.runtime.settings.SETTINGS.stack = "local"
        return Settings.load()

    yield settings
    config.set_all_config({})


def test_defaults_give_addresses_of_both_bridges(load: Any) -> None:
    settings = load()
    assert (settings.dyno_gateway, settings.platform_address) == ("172.29.0.1", "172.29.4.1")
    assert settings.api_url == "https://localhost:8443"


def test_ps_exec_has_an_address_or_none(load: Any) -> None:
    assert load().exec_address == "127.0.0.80"
    assert load(execAddress="").exec_address == ""
    assert load(httpPort="80").exec_address == "127.0.0.80"
    assert load(httpPort="80", listenAddress="0.0.0.0", execAddress="").exec_address == ""  # noqa: S104 - not bound


def test_backups_of_databases_may_be_elsewhere_by_a_secret(load: Any) -> None:
    given = {"type": "s3", "bucket": "shop-backups", "endpoint": "s3.example.com", "region": "eu-1"}
    assert load().backup_repository == {}
    found = load(["dynoform:backupRepositoryKey"], backupRepository=given, backupRepositoryKey="id:secret")
    assert (found.backup_repository, found.backup_repository_key) == (given, "id:secret")
    assert "id:secret" not in repr(found)
    with pytest.raises(pulumi.RunError, match="backupRepositoryKey: is in the clear: give pulumi config set the opti"):
        load([], backupRepository=given, backupRepositoryKey="id:secret")
    with pytest.raises(pulumi.RunError, match=r"dynoform:backupRepository.bucket: is missing"):
        load([], backupRepository={"type": "s3"})


def test_platform_services_have_a_port_each(load: Any) -> None:
    assert load(platformPort="9000").ports == PlatformPorts(9000, 9001, 9002, 9003, 9004, 9005, 9006)


def test_rule_of_the_platforms_ports_knows_how_many_there_are() -> None:
    assert len(fields(PlatformPorts)) == stack_settings.PLATFORM_PORTS


def test_api_of_a_real_domain_has_a_name_that_the_heroku_cli_accepts(load: Any) -> None:
    assert load(domain="apps.example").api_url == "https://api.localhost.apps.example:8443"


def test_the_apis_certificate_is_checked_before_anything_is_made(load: Any) -> None:
    assert load().api_certificate == ""
    authority = Authority()
    chain, key = (pem.decode() for pem in authority.issue("api", *api_certificates.names("apps.example")))
    brought = {"domain": "apps.example", "apiCertificate": authority.pem.decode() + chain, "apiCertificateKey": key}
    secret = ["dynoform:apiCertificateKey"]
    assert load(secret, **brought).api_certificate == chain + authority.pem.decode()
    with pytest.raises(pulumi.RunError, match="apiCertificateKey: is in the clear: give pulumi config set the option"):
        load([], **brought)
    for changes, message in (
        ({"apiCertificateKey": ""}, "apiCertificateKey: apiCertificate and apiCertificateKey go together"),
        ({"apiCertificate": ""}, "apiCertificate: apiCertificate and apiCertificateKey go together"),
        ({"domain": "other.example"}, "apiCertificate: The certificate is for api.localhost.apps.example, "),
        ({"domain": "localhost"}, "apiCertificate: it is for a domain of your own, and domain is localhost"),
        ({"apiCertificate": "x"}, "apiCertificate: Pem is invalid"),
    ):
        with pytest.raises(pulumi.RunError, match=f"dynoform:{message}"):
            load(secret, **{**brought, **changes})


def test_a_brought_certificate_may_be_for_apps_too(load: Any) -> None:
    assert load().apps_certificate is False
    secret = ["dynoform:apiCertificateKey"]
    for more, expected in (((), False), (("*.apps.example",), True)):
        pems = Authority().issue("api", *api_certificates.names("apps.example"), *more)
        chain, key = (pem.decode() for pem in pems)
        found = load(secret, domain="apps.example", apiCertificate=chain, apiCertificateKey=key)
        assert found.apps_certificate is expected


def test_an_authority_needs_agreement_and_a_hook_is_a_secret(load: Any) -> None:
    assert load().acme == AcmeSettings()
    hook = "#!/bin/sh\necho secret\n"
    given = {"domain": "apps.example", "acmeDirectory": stack_settings.LETS_ENCRYPT, "acmeTermsAgreed": "true"}
    assert load(**given).acme.directory == stack_settings.LETS_ENCRYPT
    found = load(["dynoform:acmeDnsHook"], **given, acmeDnsHook=hook, acmeEmail="tls@example.com").acme
    assert (found.dns_hook, found.email) == (hook, "tls@example.com")
    assert "secret" not in repr(found)
    with pytest.raises(pulumi.RunError, match="acmeDnsHook: is in the clear: give pulumi config set the option --sec"):
        load([], **given, acmeDnsHook=hook)
    for changes, message in (
        (
            {"acmeTermsAgreed": "false"},
            "acmeTermsAgreed: automated certificates need your agreement to the terms of acme",
        ),
        ({"acmeDirectory": "http://ca.example/dir"}, "acmeDirectory: 'http://ca.example/dir' is not an https URL"),
        (
            {"acmeDirectory": "https://me@ca.example/dir"},
            "acmeDirectory: 'https://me@ca.example/dir' is not an https URL",
        ),
        ({"acmeDirectory": "", "acmeDnsHook": hook}, "acmeDnsHook: is of no use without acmeDirectory"),
        (
            {"domain": "localhost", "acmeDnsHook": hook},
            "acmeDnsHook: is for a domain of your own, and domain is localhost",
        ),
        ({"acmeDnsHook": "x" * 500_000}, "acmeDnsHook: is longer than 409600 bytes"),
        ({"acmeEmail": "tls@"}, "acmeEmail: 'tls@' is not an e-mail address"),
        ({"acmeAccountKeyId": "key-1"}, "acmeAccountKey: is missing, and acmeAccountKeyId is set"),
        ({"acmeAccountKey": "k" * 43}, "acmeAccountKeyId: is missing, and acmeAccountKey is set"),
        ({"acmeAccountKeyId": "key 1", "acmeAccountKey": "k" * 43}, "acmeAccountKeyId: 'key 1' is no name of a key"),
        ({"acmeAccountKeyId": "key-1", "acmeAccountKey": "k+/="}, "acmeAccountKey: is no key: letters, digits"),
        (
            {"acmeDirectory": "", "acmeAccountKeyId": "key-1", "acmeAccountKey": "k" * 43},
            "acmeAccountKey: is of no use without acmeDirectory",
        ),
    ):
        with pytest.raises(pulumi.RunError, match=f"dynoform:{message}"):
            load(["dynoform:acmeDnsHook", "dynoform:acmeAccountKey"], **{**given, **changes})
    bound = {**given, "acmeAccountKeyId": "key-1", "acmeAccountKey": "k" * 43}
    found = load(["dynoform:acmeAccountKey"], **bound).acme
    assert (found.account_key_id, found.account_key) == ("key-1", "k" * 43)
    assert "kkk" not in repr(found)
    with pytest.raises(pulumi.RunError, match="acmeAccountKey: is in the clear: give pulumi config set the option --s"):
        load([], **bound)


def test_declared_app_has_source_config_and_formation(load: Any) -> None:
    declared = {"shop": {"source": "shop", "config": {"DEBUG": 1}, "formation": {"web": {"quantity": 2}}}}
    (app,) = load(apps=declared).apps
    assert (app.name, app.source, app.config) == ("shop", "shop", {"DEBUG": "1"})
    assert app.formation == {"web": FormationSettings(2, "Standard-1X")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"httpPort": "70000"}, "dynoform:httpPort: 70000 is not a port (1 to 65535)"),
        ({"httpPort": "8443"}, "dynoform:httpsPort: 8443 is also httpPort"),
        ({"platformPort": "65530"}, "dynoform:platformPort: 65530 is not the first of 7 ports (at most 65529)"),
        ({"httpsPort": "7406"}, "dynoform:httpsPort: 7406 is one of the platform's own, 7400 to 7406 (platformPort)"),
        ({"execAddress": "0.0.0.0"}, "dynoform:execAddress: '0.0.0.0' is not one IPv4 address of the host"),  # noqa: S104
        ({"execAddress": "here"}, "dynoform:execAddress: 'here' is not one IPv4 address of the host"),
        (
            {"httpPort": "80", "listenAddress": "0.0.0.0"},  # noqa: S104 - not bound
            "dynoform:execAddress: port 80 of 127.0.0.80 is the router's, and ps:exec knows no other port",
        ),
        ({"httpPort": "80", "execAddress": "127.0.0.1"}, "dynoform:execAddress: port 80 of 127.0.0.1 is the router's"),
        ({"dynoSubnet": "nonsense"}, "dynoform:dynoSubnet: 'nonsense' is not an IPv4 network"),
        ({"dynoSubnet": "8.8.8.0/24"}, "dynoform:dynoSubnet: 8.8.8.0/24 must be a private network"),
        (
            {"platformSubnet": "172.29.1.0/24"},
            "dynoform:platformSubnet: 172.29.1.0/24 overlaps dynoSubnet 172.29.0.0/22",
        ),
        ({"routing": "least"}, "dynoform:routing: 'least' is no way to choose a dyno"),
        ({"metricsPort": "65536"}, "dynoform:metricsPort: 65536 is not a port (1 to 65535, or 0 for none)"),
        ({"metricsPort": "8080"}, "dynoform:metricsPort: 8080 is also httpPort"),
        ({"oldStacks": "heroku-20"}, "dynoform:oldStacks: Couldn't find that stack (heroku-20)"),
        ({"runImageUpdates": "all"}, "dynoform:runImageUpdates: 'all' was not written by bin/dynoform patch"),
        ({"proxyProtocolFrom": "10.0.0.0/24,here"}, "dynoform:proxyProtocolFrom: 'here' is not a network"),
        ({"proxyProtocolFrom": "10.0.0.1/24"}, "dynoform:proxyProtocolFrom: '10.0.0.1/24' is not a network"),
        ({"proxyProtocolFrom": "0.0.0.0/0"}, "dynoform:proxyProtocolFrom: 0.0.0.0/0 is everybody"),
        ({"routerAddresses": "here"}, "dynoform:routerAddresses: 'here' is no IPv4 address"),
        ({"storeStandby": "two"}, "dynoform:storeStandby: 'two' is none of the hosts"),
        ({"routerAddresses": "10.0.0.9"}, "dynoform:routerAddresses: 0 hosts are declared, and one has to take over"),
        (
            {
                "domain": "apps.example.com",
                "listenAddress": "203.0.113.1",
                "hosts": {
                    "one": {"address": "10.0.0.1", "platform": True},
                    "two": {"address": "10.0.0.2", "role": "worker"},
                },
                "routerAddresses": "10.0.0.9,10.0.0.2",
            },
            "dynoform:routerAddresses: 10.0.0.2 is a host's own",
        ),
        ({"apps": ["shop"]}, "dynoform:apps: must be a map of app names"),
        ({"apps": {"shop": {}}}, "dynoform:apps.shop: source (the directory of the app) is missing"),
        ({"domain": "münchen.example"}, "dynoform:domain: 'münchen.example' has letters that host names cannot have"),
        ({"domain": "10.0.0.1"}, "dynoform:domain: '10.0.0.1' is not a domain"),
        ({"email": "nobody"}, "dynoform:email: 'nobody' is not an e-mail address"),
        ({"listenAddress": "localhost"}, "dynoform:listenAddress: 'localhost' is no IPv4 or IPv6 address"),
        ({"apps": {"Shop": {"source": "x"}}}, "dynoform:apps.Shop: Name must start with a letter"),
        ({"apps": {"api": {"source": "x"}}}, "dynoform:apps.api: is a name of the platform's own"),
        (
            {"apps": {"shop": {"sauce": "x"}}},
            "dynoform:apps.shop.sauce: is not a setting; there are: config, formation, source",
        ),
        (
            {"apps": {"shop": {"source": "x", "formation": {"web": {"quantity": -1}}}}},
            "dynoform:apps.shop.formation.web: quantity -1",
        ),
        (
            {"apps": {"shop": {"source": "x", "formation": {"web": {"quantity": True}}}}},
            "dynoform:apps.shop.formation.web: quantity True is not a number of dynos",
        ),
        (
            {"apps": {"shop": {"source": "x", "formation": {"web": {"size": "Huge"}}}}},
            "dynoform:apps.shop.formation.web: Couldn't find that dyno size (Huge)",
        ),
    ],
)
def test_mistake_names_key_reason_and_command(load: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(pulumi.RunError) as error:
        load(**changes)
    assert str(error.value).startswith(message)
    assert "Set it with: pulumi config set " in str(error.value)

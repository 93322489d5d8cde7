"""The only reader of ``pulumi.Config``: a stack's settings, typed and checked."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import pulumi
from pulumi.runtime.config import is_config_secret

from components.ansible import HostArgs
from components.ec2 import Ec2FleetArgs, Ec2HostArgs
from components.fleet import MachineArgs
from dynoform.domain import api_certificates, backup_repositories, ec2_settings, host_settings, stack_settings
from dynoform.domain.certificates import Certificate
from dynoform.errors import InvalidInputError


@dataclass(frozen=True)
class FormationSettings:
    """How many dynos of which size a process type of a declared app has."""

    quantity: int = 1
    size: str = "Standard-1X"


@dataclass(frozen=True)
class AppSettings:
    """An app declared in the stack's configuration.

    Parameters:
        name: Heroku's app name, 3 to 30 characters.
        source: directory of the app's source, relative to the project's root.
        config: config vars.
        formation: process type → quantity and size; empty leaves Heroku's default (one web dyno).
    """

    name: str
    source: str
    config: dict[str, str] = field(default_factory=dict)
    formation: dict[str, FormationSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class PlatformPorts:
    """Ports of the platform's services, one after the other.

    Swarm lets a host's port be published once, whatever the address: each stack on a host needs ports of its own.
    """

    registry: int
    postgres: int
    api: int
    logplex_syslog: int
    logplex_http: int
    rendezvous: int
    rendezvous_dyno: int


@dataclass(frozen=True)
class AcmeSettings:
    """Where automated certificates come from.

    Parameters:
        directory: URL of the authority's directory; empty for none.
        email: whom the authority writes to; empty for the operator.
        authorities: PEM of those that signed its https, for one that is not public.
        dns_hook: program that writes TXT records, for wildcards: a secret.
        account_key_id: name of a key of the operator's account there, for one that makes no accounts by itself.
        account_key: that key, base64url: a secret.
    """

    directory: str = ""
    email: str = ""
    authorities: str = ""
    dns_hook: str = field(default="", repr=False)
    account_key_id: str = ""
    account_key: str = field(default="", repr=False)


NO_ACME = AcmeSettings()


@dataclass(frozen=True)
class Settings:
    """Everything that an operator can set for a stack; see Pulumi.yaml for each key's meaning."""

    stack: str
    domain: str
    http_port: int
    https_port: int
    listen_address: str
    exec_address: str
    email: str
    platform_port: int
    dyno_subnet: ipaddress.IPv4Network
    platform_subnet: ipaddress.IPv4Network
    drain_networks: str
    """Networks besides the public internet that log drains may lead to, in CIDR form with commas between."""
    api_certificate: str
    """PEM chain of the API's names; empty for the stack's own."""
    api_certificate_key: str = field(repr=False)
    """Its private key, PEM: a secret."""
    apps_certificate: bool
    """Whether that certificate is for all apps' own names, too."""
    apps: tuple[AppSettings, ...]
    acme: AcmeSettings = NO_ACME
    machines: tuple[MachineArgs, ...] = ()
    """Hosts that are reached by SSH, the one with the platform's services first; none for this machine."""
    ec2: Ec2FleetArgs | None = None
    """How the machines are made at EC2, if they are."""
    router_addresses: tuple[str, ...] = ()
    """What one of several hosts has for its router, and another when that is gone."""
    routing: str = "heroku"
    """How routers choose a dyno, one of ``stack_settings.ROUTINGS``."""
    old_stacks: str = ""
    """Stacks whose apps are told to change to another, with commas between."""
    updates: Mapping[str, str] = field(default_factory=dict)
    """Image of the stack's → which updates of Debian's it is to have."""
    proxy_protocol_from: tuple[str, ...] = ()
    """Networks, in CIDR form, whose connections to routers begin with the PROXY protocol."""
    metrics_port: int = 0
    """Where Prometheus reads the hosts' figures; 0 for nowhere."""
    backup_repository: Mapping[str, Any] = field(default_factory=dict)
    """Where backups of databases are; empty for a volume beside each."""
    backup_repository_key: str = field(default="", repr=False)
    """What opens it: a secret."""
    store_standby: tuple[str, ...] = ()
    """Hosts that the platform's own PostgreSQL has a standby on, and a third vote; none for one server."""

    @property
    def dyno_gateway(self) -> str:
        """The host's own address on the dynos' bridge; dynos publish their ports on it."""
        return stack_settings.gateway(self.dyno_subnet)

    @property
    def platform_address(self) -> str:
        """Where platform services publish their ports: their host's address on its bridge, or in the fleet."""
        if self.machines:
            return self.machines[0].private_address
        return stack_settings.gateway(self.platform_subnet)

    @property
    def data_address(self) -> str:
        """Where the platform's host has the ports of add-ons, for dynos and for the operator's machine alike."""
        return self.platform_address if self.machines else self.dyno_gateway

    @property
    def api_url(self) -> str:
        """Base URL of the Platform API, as the heroku CLI takes it in HEROKU_HOST."""
        host = "localhost" if self.domain == "localhost" else f"api.localhost.{self.domain}"
        return f"https://{host}:{self.https_port}"

    @property
    def ports(self) -> "PlatformPorts":
        """Where the platform's services are published on the platform address."""
        return PlatformPorts(*range(self.platform_port, self.platform_port + len(fields(PlatformPorts))))

    @property
    def standby_ports(self) -> range:
        """Where the platform's PostgreSQL has its servers and voters, on whichever host, if it has a standby."""
        return stack_settings.standby_ports(self.platform_port)

    def web_url(self, app: str) -> str:
        """Where an app answers over http."""
        return f"http://{app}.{self.domain}{'' if self.http_port == 80 else f':{self.http_port}'}/"

    @classmethod
    def load(cls) -> "Settings":
        """Read the current stack's configuration.

        Raises:
            pulumi.RunError: a value is missing, of the wrong type or contradicts another; names the key.
        """
        config = pulumi.Config()
        try:
            _check(config)
            brought, acme, router_addresses = _brought(config), _acme(config), _router_addresses(config)
            backup_repository, backup_repository_key = _backup_repository(config)
            store_standby = _store_standby(config)
        except InvalidInputError as error:
            raise _wrong(error.what, error.why) from error
        return cls(
            stack=pulumi.get_stack(),
            domain=config.require("domain"),
            http_port=config.require_int("httpPort"),
            https_port=config.require_int("httpsPort"),
            listen_address=config.require("listenAddress"),
            exec_address=config.get("execAddress") or "",
            email=config.require("email"),
            platform_port=config.require_int("platformPort"),
            dyno_subnet=ipaddress.IPv4Network(config.require("dynoSubnet")),
            platform_subnet=ipaddress.IPv4Network(config.require("platformSubnet")),
            drain_networks=config.get("drainNetworks") or "",
            machines=machines(_hosts(config)),
            ec2=_ec2(config),
            router_addresses=router_addresses,
            routing=config.get("routing") or "heroku",
            old_stacks=config.get("oldStacks") or "",
            updates={noun: config.get(key) or "" for noun, key in stack_settings.UPDATES.items()},
            proxy_protocol_from=stack_settings.proxy_networks(config.get("proxyProtocolFrom") or ""),
            metrics_port=config.get_int("metricsPort") or 0,
            api_certificate=brought.chain if brought else "",
            apps_certificate=brought is not None and api_certificates.covers_apps(brought, config.require("domain")),
            api_certificate_key=config.get("apiCertificateKey") or "",
            acme=acme,
            backup_repository=backup_repository,
            backup_repository_key=backup_repository_key,
            store_standby=store_standby,
            apps=tuple(_app(name, app) for name, app in sorted((config.get_object("apps") or {}).items())),
        )


def _wrong(key: str, why: str) -> pulumi.RunError:
    return pulumi.RunError(f"dynoform:{key}: {why}. Set it with: pulumi config set {key} <value>")


def _check(config: pulumi.Config) -> None:
    stack_settings.check_ports(*(config.require_int(key) for key in ("httpPort", "httpsPort", "platformPort")))
    stack_settings.check_subnets(config.require("dynoSubnet"), config.require("platformSubnet"))
    stack_settings.check_domain(config.require("domain"))
    stack_settings.check_email(config.require("email"))
    stack_settings.check_listen_address(config.require("listenAddress"))
    stack_settings.check_exec_address(
        config.get("execAddress") or "",
        [config.require("listenAddress"), stack_settings.gateway(ipaddress.IPv4Network(config.require("dynoSubnet")))],
        [config.require_int(key) for key in ("httpPort", "httpsPort")],
    )
    stack_settings.check_drain_networks(
        config.get("drainNetworks") or "", config.require("dynoSubnet"), config.require("platformSubnet")
    )
    stack_settings.check_routing(config.get("routing") or "heroku")
    ports = (config.require_int(key) for key in ("httpPort", "httpsPort", "platformPort"))
    stack_settings.check_metrics_port(config.get_int("metricsPort") or 0, *ports)
    stack_settings.proxy_networks(config.get("proxyProtocolFrom") or "")
    stack_settings.check_old_stacks(config.get("oldStacks") or "")
    for key in stack_settings.UPDATES.values():
        stack_settings.check_updates(key, config.get(key) or "")
    stack_settings.check_apps(config.get_object("apps") or {})
    ec2_settings.check(config.get_object("ec2") or {}, config.get_object("hosts") or {})
    hosts = _hosts(config)
    host_settings.check(hosts)
    host_settings.check_reach(hosts, config.require("domain"), config.require("listenAddress"))


def _router_addresses(config: pulumi.Config) -> tuple[str, ...]:
    return host_settings.router_addresses(config.get("routerAddresses") or "", _hosts(config))


def _store_standby(config: pulumi.Config) -> tuple[str, ...]:
    """Raises ``InvalidInputError`` naming the key."""
    named = host_settings.store_standby(config.get("storeStandby") or "", _hosts(config))
    http, https, platform = (config.require_int(key) for key in ("httpPort", "httpsPort", "platformPort"))
    metrics = config.get_int("metricsPort") or 0
    stack_settings.check_standby_ports(http, https, platform, metrics, wanted=bool(named))
    return named


def _acme(config: pulumi.Config) -> AcmeSettings:
    """Raises ``InvalidInputError`` naming the key."""
    keys = ("Directory", "Email", "Authorities", "DnsHook", "AccountKeyId", "AccountKey")
    found = AcmeSettings(*(config.get(f"acme{key}") or "" for key in keys))
    agreed = config.get_bool("acmeTermsAgreed") or False
    stack_settings.check_acme(found.directory, found.dns_hook, config.require("domain"), agreed=agreed)
    if found.email:
        stack_settings.check_email(found.email, "acmeEmail")
    stack_settings.check_acme_account(found.directory, found.account_key_id, found.account_key)
    for key, text in (("acmeDnsHook", found.dns_hook), ("acmeAccountKey", found.account_key)):
        if text and not is_config_secret(f"dynoform:{key}"):
            raise InvalidInputError(key, "is in the clear: give pulumi config set the option --secret")
    return found


def _backup_repository(config: pulumi.Config) -> tuple[Mapping[str, Any], str]:
    """Where backups are and what opens that. Raises ``InvalidInputError`` naming the key."""
    key_setting = backup_repositories.KEY_SETTING
    found, key = config.get_object(backup_repositories.SETTING) or {}, config.get(key_setting) or ""
    backup_repositories.check(found)
    backup_repositories.check_key(found, key)
    if key and not is_config_secret(f"dynoform:{key_setting}"):
        raise InvalidInputError(key_setting, "is in the clear: give pulumi config set the option --secret")
    return found, key


def _brought(config: pulumi.Config) -> Certificate | None:
    """The API's certificate, if one is brought. Raises ``InvalidInputError`` naming the key."""
    chain, key = config.get("apiCertificate") or "", config.get("apiCertificateKey") or ""
    if bool(chain) != bool(key):
        missing = "apiCertificate" if key else "apiCertificateKey"
        raise InvalidInputError(missing, "apiCertificate and apiCertificateKey go together, one is missing")
    if not chain:
        return None
    if not is_config_secret("dynoform:apiCertificateKey"):
        raise InvalidInputError("apiCertificateKey", "is in the clear: give pulumi config set the option --secret")
    try:
        return api_certificates.check(chain, key, config.require("domain"), datetime.now(UTC))
    except InvalidInputError as error:
        raise InvalidInputError("apiCertificate", error.what.rstrip(".")) from error


def _app(name: str, declared: Mapping[str, Any]) -> AppSettings:
    formation = (declared.get("formation") or {}).items()
    return AppSettings(
        name=name,
        source=declared["source"],
        config={key: str(value) for key, value in (declared.get("config") or {}).items()},
        formation={kind: FormationSettings(**wanted) for kind, wanted in formation},
    )


def _hosts(config: pulumi.Config) -> Mapping[str, Any]:
    """The declared hosts, each with an address."""
    return ec2_settings.addressed(config.get_object("ec2") or {}, config.get_object("hosts") or {})


def machines(hosts: Mapping[str, Any]) -> tuple[MachineArgs, ...]:
    """The hosts of the setting ``hosts``, each with an address, the one with the platform's services first."""
    if not hosts:
        return ()
    first = host_settings.platform_host(hosts)
    return tuple(_machine(name, hosts[name]) for name in (first, *(name for name in hosts if name != first)))


def _machine(name: str, host: Mapping[str, Any]) -> MachineArgs:
    reached = HostArgs(
        name=name,
        address=host["address"],
        connection="ssh",
        user=host.get("user", "root"),
        port=host.get("port", 22),
        key_file=host.get("keyFile", ""),
        known_hosts=host.get("knownHosts", ""),
        jump=host.get("jump", ""),
    )
    return MachineArgs(
        reached,
        host_settings.private_address(host),
        host_settings.role(host),
        host.get("zone", ""),
        host_settings.runtime(host),
        builder=bool(host.get("builder")),
        data=bool(host.get("data")),
    )


def _ec2(config: pulumi.Config) -> Ec2FleetArgs | None:
    """The fleet at EC2, whose hosts are those of ``machines`` in their order; None without one."""
    ec2, hosts = config.get_object("ec2") or {}, config.get_object("hosts") or {}
    if not ec2:
        return None
    routers = config.require_int("httpPort"), config.require_int("httpsPort")
    standby = bool(config.get("storeStandby"))
    return ec2_fleet(ec2, hosts, routers, config.require_int("platformPort"), standby=standby)


def ec2_fleet(
    ec2: Mapping[str, Any],
    hosts: Mapping[str, Any],
    routers: tuple[int, int],
    platform_port: int,
    *,
    standby: bool = False,
) -> Ec2FleetArgs:
    """The fleet of the settings ``ec2`` and ``hosts``; routers listen at ``routers``, http and https.

    ``standby``: whether the platform's own PostgreSQL has one.
    """
    ports = PlatformPorts(*range(platform_port, platform_port + len(fields(PlatformPorts))))
    public = (*routers, ports.rendezvous)
    further = stack_settings.standby_ports(platform_port)
    others = (further[0], further[-1]) if standby else None
    found = machines(ec2_settings.addressed(ec2, hosts))
    return Ec2FleetArgs(
        stack=pulumi.get_stack(),
        region=ec2["region"],
        network=ec2.get("network", ec2_settings.DEFAULTS["network"]),
        subnets=ec2_settings.subnets(ec2),
        groups=ec2_settings.groups(ec2, ec2_settings.Ports(public, (platform_port, ports.rendezvous_dyno), others)),
        public_key=ec2["publicKey"],
        hosts=[_ec2_host(ec2, hosts, machine, platform=machine is found[0]) for machine in found],
        backup_bucket=ec2.get("backupBucket", ""),
        backup_prefix=ec2.get("backupPrefix", ""),
        balanced_ports=public if ec2.get("loadBalancer") else (),
    )


def _ec2_host(ec2: Mapping[str, Any], hosts: Mapping[str, Any], machine: MachineArgs, *, platform: bool) -> Ec2HostArgs:
    host = hosts[machine.inventory.name]
    return Ec2HostArgs(
        machine,
        ec2_settings.instance(ec2, host),
        ec2_settings.groups_of(host, platform=platform),
        ec2_settings.user_data(machine.inventory.name),
        protected=platform,
    )

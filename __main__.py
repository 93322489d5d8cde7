"""The whole platform: settings, components, outputs."""

from collections.abc import Mapping

import pulumi

from components.api_certificate import ApiCertificate, ApiCertificateArgs
from components.app import ApiArgs, App, AppArgs, FormationArgs
from components.control_plane import ControlPlane, ControlPlaneArgs
from components.credentials import CertificateAuthority, CertificateAuthorityArgs
from components.dyno_runtime import DynoRuntime, DynoRuntimeArgs
from components.ec2 import Ec2Fleet
from components.fleet import Fleet, Host
from components.images import Distributed, DistributedArgs, Images, ImagesArgs
from components.inventory import inventory
from components.logplex import AUTHORITY, Logplex, LogplexArgs
from components.metrics_agent import MetricsAgent, MetricsAgentArgs
from components.registry import Registry, RegistryArgs
from components.router import Router, RouterArgs
from components.router_addresses import RouterAddresses, RouterAddressesArgs
from components.secret import swarm_secret
from components.settings import Settings
from components.store import StoreArgs, store
from dynoform.domain.placement import COMMON

settings = Settings.load()
stack = settings.stack
ports = settings.ports

# Who trusts the stack goes on trusting it after `down` and `up`: the authority stays in the state.
authority = CertificateAuthority(
    f"{stack}-authority",
    CertificateAuthorityArgs(common_name=f"Dynoform {stack}"),
    pulumi.ResourceOptions(protect=True),
)
ec2 = Ec2Fleet(f"{stack}-ec2", settings.ec2) if settings.ec2 else None
fleet = Fleet(f"{stack}-fleet", ec2.machines if ec2 else settings.machines)
host = fleet.manager


def dyno_runtime(name: str, hosts: list[Host], *after: pulumi.Resource) -> DynoRuntime:
    """A runtime of the stack; its apps run on these hosts."""
    return DynoRuntime(
        name,
        DynoRuntimeArgs(
            stack=stack,
            hosts=hosts,
            fleet=fleet.hosts,
            dyno_subnet=str(settings.dyno_subnet),
            platform_subnet=str(settings.platform_subnet),
            registry_address=settings.platform_address,
            registry_port=ports.registry,
            router_ports=[settings.http_port, settings.https_port],
            authority=authority,
            platform_ports=[ports.postgres] if settings.store_standby else [],
        ),
        pulumi.ResourceOptions(depends_on=list(after)),
    )


runtime = dyno_runtime(f"{stack}-runtime", fleet.of(COMMON))
private = [dyno_runtime(f"{stack}-runtime-{name}", fleet.of(name), runtime) for name in fleet.private_runtimes]
on_docker = pulumi.ResourceOptions(providers={"docker": host.docker})
images = Images(f"{stack}-images", ImagesArgs(base=host.base_image, updates=settings.updates), on_docker).names
# With several hosts the platform's own data are on the first, and what runs on all is got from the registry.
constraints = [f"node.labels.dynoform.{stack}.platform==true"] if fleet.spread else []
authority_secret = swarm_secret(f"{stack}-authority-crt", stack, authority.cert_pem, host.docker)
logplex_authority = CertificateAuthority(
    f"{stack}-logplex-authority", CertificateAuthorityArgs(common_name=f"Dynoform {stack} log plane")
)
logplex_secret = swarm_secret(f"{stack}-logplex-authority-crt", stack, logplex_authority.cert_pem, host.docker)
environment: dict[str, pulumi.Input[str]] = {
    "DYNOFORM_STACK": stack,
    "DYNOFORM_DOMAIN": settings.domain,
    "DYNOFORM_EMAIL": settings.email,
    "DYNOFORM_HTTP_PORT": str(settings.http_port),
    "DYNOFORM_HTTPS_PORT": str(settings.https_port),
    "DYNOFORM_LISTEN_ADDRESS": f"{settings.listen_address},{settings.dyno_gateway}",
    "DYNOFORM_PLATFORM_ADDRESS": settings.platform_address,
    "DYNOFORM_REGISTRY_PORT": str(ports.registry),
    "DYNOFORM_POSTGRES_PORT": str(ports.postgres),
    "DYNOFORM_API_PORT": str(ports.api),
    "DYNOFORM_LOGPLEX_SYSLOG_PORT": str(ports.logplex_syslog),
    "DYNOFORM_LOGPLEX_HTTP_PORT": str(ports.logplex_http),
    "DYNOFORM_LOGPLEX_AUTHORITY": AUTHORITY,
    "DYNOFORM_DRAIN_NETWORKS": settings.drain_networks,
    "DYNOFORM_RENDEZVOUS_PORT": str(ports.rendezvous),
    "DYNOFORM_RENDEZVOUS_DYNO_PORT": str(ports.rendezvous_dyno),
    "DYNOFORM_EXEC_ADDRESS": settings.exec_address,
    "DYNOFORM_DYNO_NETWORK": f"{stack}_dynos",
    "DYNOFORM_DATA_ADDRESS": settings.data_address,
    "DYNOFORM_DYNO_GATEWAY": settings.dyno_gateway,
}
if settings.old_stacks:
    environment["DYNOFORM_OLD_STACKS"] = settings.old_stacks
registry = Registry(
    f"{stack}-registry",
    RegistryArgs(
        stack=stack,
        image=images["registry"],
        network_id=runtime.platform_network_id,
        address=settings.platform_address,
        port=ports.registry,
        authority=authority,
        authority_secret=authority_secret,
        constraints=constraints,
    ),
    on_docker,
)
everywhere: Mapping[str, pulumi.Output[str]] = images
builders = [f"node.labels.dynoform.{stack}.builder==true"] if fleet.spread and fleet.has_builders else []
if fleet.spread:
    shared = {noun: images[noun] for noun in ("router", "log-agent", "control-plane")}
    if fleet.has_builders:
        shared |= {noun: images[noun] for noun in ("stack-13", "stack-13-build")}
    if settings.store_standby:
        shared["postgres-ha"] = images["postgres-ha"]
    if fleet.has_data_hosts:
        shared |= {noun: images[noun] for noun in ("postgres-ha", "valkey", "kafka")}
    everywhere = Distributed(f"{stack}-distributed", DistributedArgs(host, registry.address, shared)).names
private_addresses = {each.inventory.name: each.args.private_address for each in fleet.hosts}
postgres = store(
    StoreArgs(
        stack=stack,
        engine=host.docker,
        image=images["postgres"],
        ha_image=everywhere["postgres-ha"] if settings.store_standby else None,
        network_id=runtime.platform_network_id,
        address=settings.platform_address,
        port=ports.postgres,
        gateway=settings.dyno_gateway,
        authority=authority,
        constraints=constraints,
        standby={name: private_addresses[name] for name in settings.store_standby},
        standby_ports=settings.standby_ports,
    )
)
router = Router(
    f"{stack}-router",
    RouterArgs(
        stack=stack,
        image=everywhere["router"],
        network_id=host.host_network_id,
        environment={
            **environment,
            "DYNOFORM_ROUTING": settings.routing,
            "DYNOFORM_PROXY_PROTOCOL_FROM": " ".join(settings.proxy_protocol_from),
        },
        domain=settings.domain,
        apps=[app.name for app in settings.apps],
        addresses=["127.0.0.1", settings.dyno_gateway],
        authority=authority,
        logplex_secret=logplex_secret,
        own_api_names=not settings.api_certificate,
        own_app_names=not settings.apps_certificate,
    ),
    on_docker,
)
if settings.router_addresses:
    RouterAddresses(
        f"{stack}-router-addresses",
        RouterAddressesArgs(fleet.hosts, settings.router_addresses, f"{settings.dyno_gateway} {settings.http_port}"),
    )
told = [each.variables for each in (runtime, *private)]
if settings.metrics_port:
    addresses = {each.args.private_address or settings.platform_address: each for each in fleet.hosts}
    metrics = MetricsAgent(f"{stack}-metrics-agent", MetricsAgentArgs(addresses, settings.metrics_port, authority))
    told.append(metrics.variables)
    pulumi.export("hostMetrics", pulumi.Output.secret(metrics.outputs))
Logplex(
    f"{stack}-logplex",
    LogplexArgs(
        stack=stack,
        image=images["control-plane"],
        agent_image=everywhere["log-agent"],
        syslog_port=ports.logplex_syslog,
        http_port=ports.logplex_http,
        network_id=runtime.platform_network_id,
        host_network_id=host.host_network_id,
        docker_root=host.docker_root,
        address=settings.platform_address,
        authority=logplex_authority,
        authority_secret=logplex_secret,
        readers_secret=authority_secret,
        environment=environment,
        constraints=constraints,
    ),
    on_docker,
)
control_plane = ControlPlane(
    f"{stack}-control-plane",
    ControlPlaneArgs(
        stack=stack,
        image=images["control-plane"],
        run_image=(everywhere if builders else images)["stack-13"],
        build_image=(everywhere if builders else images)["stack-13-build"],
        addons_image=images["addons"],
        postgres_image=images["postgres"],
        valkey_image=(everywhere if fleet.has_data_hosts else images)["valkey"],
        kafka_image=(everywhere if fleet.has_data_hosts else images)["kafka"],
        postgres_ha_image=(everywhere if fleet.has_data_hosts else images)["postgres-ha"],
        network_id=runtime.platform_network_id,
        api_port=ports.api,
        host_network_id=host.host_network_id,
        docker_root=host.docker_root,
        environment=environment,
        authority=authority,
        authority_secret=authority_secret,
        logplex_secret=logplex_secret,
        postgres=postgres,
        store_address=settings.dyno_gateway if settings.store_standby else "",
        registry=registry,
        router=router,
        constraints=constraints,
        builder_constraints=builders,
        everywhere_image=everywhere["control-plane"],
        acme=settings.acme,
        backup_repository=settings.backup_repository,
        backup_repository_key=settings.backup_repository_key,
    ),
    on_docker,
)
trusted = pulumi.Output.concat(authority.cert_pem, settings.api_certificate)
api = ApiArgs(url=settings.api_url, ca_cert_pem=trusted, token=control_plane.api_key)
reachable: list[pulumi.Resource] = [control_plane]
if settings.api_certificate:
    brought = ApiCertificateArgs(api, settings.api_certificate, pulumi.Output.secret(settings.api_certificate_key))
    options = pulumi.ResourceOptions(depends_on=[control_plane])
    reachable.append(ApiCertificate(f"{stack}-api-certificate", brought, options))
for app in settings.apps:
    App(
        f"{stack}-{app.name}",
        AppArgs(
            api=api,
            name=app.name,
            source=app.source,
            config=app.config,
            formation={kind: FormationArgs(each.quantity, each.size) for kind, each in app.formation.items()},
        ),
        # An app and its releases are data: `down`, or a line less in the configuration, does not destroy it.
        pulumi.ResourceOptions(depends_on=reachable, retain_on_delete=True),
    )

pulumi.export("apiUrl", settings.api_url)
pulumi.export("apiKey", control_plane.api_key)
pulumi.export("caCertPem", authority.cert_pem)
pulumi.export("apiTrust", "brought" if settings.api_certificate else "stack")
pulumi.export("domain", settings.domain)
public_ports = [settings.http_port, settings.https_port, ports.rendezvous]
pulumi.export("inventory", inventory(fleet.hosts, told, public_ports))
if ec2 and ec2.balancer_name is not None:
    pulumi.export("balancerName", ec2.balancer_name)
pulumi.export("httpPort", settings.http_port)
pulumi.export("httpsPort", settings.https_port)
# Not the resources' own outputs: the platform's addresses are to be known also when an app's deploy fails.
pulumi.export("apps", {app.name: settings.web_url(app.name) for app in settings.apps})

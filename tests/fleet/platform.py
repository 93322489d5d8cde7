"""A platform on the test fleet: hosts made by the roles over SSH, dynos, routers and reconcilers on them.

What this machine lends is what a data host would have: the store and the registry, beside the hosts in their network.
"""

import json
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from dynoform.configuration import Configuration
from dynoform.store.migrate import upgrade
from dynoform.store.releases import add_config, create_release
from dynoform.store.secrets import Vault
from dynoform.store.session import FORMATION, Store, notify
from dynoform.store.tables import Account, App, Dyno, Formation, Slug
from dynoform.store.tables import Host as HostRow
from providers.dynoform.ansible_run import Host, Outcome, run_playbook
from providers.dynoform.engine import Operation
from tests.fleet.hosts import GATEWAY, LABEL, NETWORK, Fleet, FleetHost
from tests.integration import certificates
from tests.store_fixtures import write_secrets

STACK = "fleet"
STORE, REGISTRY = (f"{GATEWAY.rpartition('.')[0]}.{last}" for last in (5, 6))
REGISTRY_PORT, HTTP_PORT, HTTPS_PORT = 5000, 18080, 18443
DYNOS, PLATFORM = "172.29.96.0/22", "172.29.100.0/24"
TRUST = Path(f"/etc/docker/certs.d/{REGISTRY}:{REGISTRY_PORT}")
SERVER = "python3 -m http.server $PORT"
USERS = {"database": "800", "reconcile": "0", "router": "990", "router-agent": "990"}


class FleetPlatform:
    """Handles for the tests: make hosts and apps, and see what runs where."""

    def __init__(self, fleet: Fleet, folder: Path, images: dict[str, str]) -> None:
        """``folder`` is for secrets; ``images`` are noun → image on this machine's engine."""
        self.fleet, self.folder, self.built = fleet, folder, images
        self.engine = fleet.engine
        self.authority = certificates.Authority()
        self.images: dict[str, str] = {}
        self.clients: dict[str, tuple[bytes, bytes]] = {}
        write_secrets(folder)
        self.configuration = Configuration.from_environment(
            {**self.environment(), "DYNOFORM_SECRETS": str(folder), "DYNOFORM_SOURCES": str(folder)}
        )

    def environment(self) -> dict[str, str]:
        """What the platform's processes are told."""
        return {
            "DYNOFORM_STACK": STACK,
            "DYNOFORM_DOMAIN": "localhost",
            "DYNOFORM_HTTP_PORT": str(HTTP_PORT),
            "DYNOFORM_HTTPS_PORT": str(HTTPS_PORT),
            "DYNOFORM_LISTEN_ADDRESS": "0.0.0.0",  # noqa: S104 - in the fleet's network
            "DYNOFORM_PLATFORM_ADDRESS": STORE,
            "DYNOFORM_DATABASE": f"postgresql+psycopg://dynoform@{STORE}:5432/dynoform",
        }

    # Hosts

    def ansible_host(self, host: FleetHost) -> Host:
        """How Ansible reaches it: by SSH, with the fleet's key, and only if its host key is the known one."""
        fleet = self.fleet
        return Host(host.name, host.address, "ssh", key_file=str(fleet.key_file), known_hosts=str(fleet.known_hosts))

    def play(self, name: str, host: FleetHost, *, check: bool = False, **variables: Any) -> Outcome:
        """Run a playbook on a host, the way the provider does."""
        operation = Operation("urn:pulumi:test::dynoform::dynoform:index:Playbook::fleet", lambda *_, **__: None)
        first = next(iter(self.fleet.hosts.values()))
        beside = [] if host is first else [self.ansible_host(first)]
        joins = {"swarm_node_manager": first.name, "swarm_node_join_address": f"{first.address}:2377"} if beside else {}
        addresses = {
            "swarm_node_advertise_address": host.address,
            "swarm_node_listen_address": f"{host.address}:2377",
        }
        return run_playbook(
            operation,
            f"playbooks/{name}.yml",
            self.ansible_host(host),
            {**addresses, **joins, **variables},
            beside=beside,
            check=check,
        )

    def runtime_variables(self, host: FleetHost, peers: list[FleetHost], **variables: Any) -> dict[str, Any]:
        """What makes a host one that dynos of this stack run on."""
        if host.name not in self.clients:
            self.clients[host.name] = self.authority.issue("engine", host.name, client=True)
        certificate, key = self.clients[host.name]
        return {
            "dyno_runtime_stack": STACK,
            "dyno_runtime_dyno_subnet": DYNOS,
            "dyno_runtime_platform_subnet": PLATFORM,
            "dyno_runtime_private_address": host.address,
            "dyno_runtime_fleet_addresses": [peer.address for peer in peers if peer is not host],
            "dyno_runtime_router_ports": [HTTP_PORT, HTTPS_PORT],
            "registry_trust_address": REGISTRY,
            "registry_trust_port": REGISTRY_PORT,
            "registry_trust_ca_certificate": self.authority.pem.decode(),
            "registry_trust_client_certificate": certificate.decode(),
            "registry_trust_client_key": key.decode(),
            **variables,
        }

    def host_variables(self, role: str) -> dict[str, Any]:
        """What makes a host one of the platform: here none builds images, the registry has them."""
        return {"swarm_node_role": role, "host_builds_images": False}

    def make(self, host: FleetHost, role: str, peers: list[FleetHost], **variables: Any) -> None:
        """Make a host of the platform, and one for dynos."""
        self.play("host", host, **self.host_variables(role))
        self.play("dyno_runtime", host, **self.runtime_variables(host, peers, **variables))

    def make_all(self, managers: int, peers: list[FleetHost]) -> None:
        """The first host makes the swarm, the others join it, some at a time."""
        first, *others = self.fleet.hosts.values()
        self.make(first, "manager", peers)
        roles = ["manager" if number < managers else "worker" for number in range(1, len(others) + 1)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda pair: self.make(pair[0], pair[1], peers), zip(others, roles, strict=True)))

    @property
    def manager(self) -> FleetHost:
        """A manager that answers."""
        for host in self.fleet.hosts.values():
            if host.container.attrs["State"]["Status"] != "gone" and host.docker("node", "ls", "-q", check=False):
                return host
        raise AssertionError("no manager answers")

    def nodes(self, through: FleetHost) -> dict[str, dict[str, Any]]:
        """Host name → the node, as a manager sees it."""
        found = through.docker("node", "inspect", *through.docker("node", "ls", "-q").split())
        return {node["Description"]["Hostname"]: node for node in json.loads(found)}

    # The data host

    def start_store(self, *nouns: str) -> Store:
        """PostgreSQL and the registry, on this machine's engine; these images go into the registry."""
        secrets, services = self.folder, self.folder / "services"
        services.mkdir()
        TRUST.mkdir(parents=True, exist_ok=True)
        server = self.authority.issue("registry", REGISTRY)
        client = self.authority.issue("tests", REGISTRY, client=True)
        pairs = ((services, "registry.crt", server[0]), (services, "registry.key", server[1]))
        trust = (
            (TRUST, "ca.crt", self.authority.pem),
            (TRUST, "client.cert", client[0]),
            (TRUST, "client.key", client[1]),
        )
        for at, name, data in (*pairs, (services, "ca.crt", self.authority.pem), *trust):
            (at / name).write_bytes(data)
        mounts = {
            str(services / name): {"bind": f"/run/secrets/{name}"}
            for name in ("ca.crt", "registry.crt", "registry.key")
        }
        password = {str(secrets / "database_password"): {"bind": "/run/secrets/database_password"}}
        self._run("registry", REGISTRY, mounts)
        self._run("postgres", STORE, password)
        wait_for(REGISTRY, REGISTRY_PORT)
        self.push(*nouns)
        wait_for(STORE, 5432)
        store = Store(self.configuration, "test", pool=3)
        upgrade(store)
        with store.transaction() as session:
            session.add(Account(email="ann@example.com"))
        return store

    def push(self, *nouns: str) -> None:
        """Put images into the registry, from where the hosts get them by digest."""
        for noun in nouns:
            name = f"{REGISTRY}:{REGISTRY_PORT}/platform/{noun}"
            subprocess.run(["docker", "tag", self.built[noun], f"{name}:test"], check=True, timeout=30)
            subprocess.run(["docker", "push", "--quiet", f"{name}:test"], check=True, timeout=300, capture_output=True)
            shown = ["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", f"{name}:test"]
            digests = json.loads(subprocess.run(shown, check=True, timeout=30, capture_output=True).stdout)
            self.images[noun] = next(digest for digest in digests if digest.startswith(f"{name}@"))
            subprocess.run(["docker", "rmi", f"{name}:test"], check=True, timeout=30, capture_output=True)

    def _run(self, noun: str, address: str, volumes: dict[str, Any]) -> None:
        api = self.engine.api
        endpoint = api.create_endpoint_config(ipv4_address=address)
        binds = [f"{source}:{mount['bind']}:ro" for source, mount in volumes.items()]
        created = api.create_container(
            self.built[noun],
            name=f"{NETWORK}-{noun}",
            labels={LABEL: ""},
            host_config=api.create_host_config(binds=binds, cap_drop=["ALL"]),
            networking_config=api.create_networking_config({NETWORK: endpoint}),
        )
        api.start(created["Id"])

    # The platform's services on the fleet

    def start_services(self, through: FleetHost) -> None:
        """Routers with their agents on every host, reconcilers on every manager: of these one leads."""
        certificate, key = self.authority.issue("router", "localhost")
        for name in ("database_password", "encryption_key", "exec_host_key"):
            self._secret(through, name, (self.folder / name).read_text())
        self._secret(through, "router.pem", (certificate + key).decode())
        state = ("--mount", "type=volume,source=fleet_router,target=/var/lib/dynoform/router")
        self._service(through, "router", "router", *state, secrets=("router.pem",))
        agent = ("database_password", "exec_host_key", "router.pem")
        self._service(through, "router-agent", "control-plane", *state, secrets=agent)
        engine = ("--mount", "type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock")
        only = ("--constraint", "node.role==manager")
        self._service(
            through, "reconcile", "control-plane", *engine, *only, secrets=("database_password", "encryption_key")
        )

    def start_database(self, through: FleetHost, on: FleetHost) -> str:
        """A PostgreSQL that stays on a host, with its data, as an app's of one node does; where it is, for libpq."""
        self.push("postgres")
        data = ("--mount", "type=volume,source=fleet_database,target=/var/lib/postgresql", "--stop-grace-period", "30s")
        only = ("--constraint", f"node.hostname=={on.name}")
        self._service(through, "database", "postgres", *data, *only, secrets=("database_password",))
        password = (self.folder / "database_password").read_text().strip()
        return f"host={on.address} port=5432 user=dynoform dbname=dynoform password={password}"

    def _secret(self, through: FleetHost, name: str, value: str) -> None:
        through.run(
            "docker", "secret", "create", "--label", f"dynoform.stack={STACK}", f"{STACK}_{name}", "-", stdin=value
        )

    def _service(self, through: FleetHost, noun: str, image: str, *options: str, secrets: tuple[str, ...]) -> None:
        user = USERS[noun]
        files = [f"source={STACK}_{name},target={name},uid={user},gid={user},mode=0400" for name in secrets]
        words = [
            "--name",
            f"{STACK}_{noun}",
            "--label",
            f"dynoform.stack={STACK}",
            "--mode",
            "global",
            "--network",
            "host",
        ]
        words += ["--endpoint-mode", "dnsrr", "--no-resolve-image", "--detach", "--quiet", "--user", user, *options]
        words += [word for name, value in self.environment().items() for word in ("--env", f"{name}={value}")]
        words += [word for file in files for word in ("--secret", file)]
        through.docker("service", "create", *words, self.images[image], *([noun] if image == "control-plane" else []))


def wait_for(address: str, port: int, seconds: float = 60) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, port), timeout=2).close()
        except OSError:
            assert time.monotonic() < deadline, f"{address}:{port} does not answer"
            time.sleep(0.2)
        else:
            return


class Apps:
    """Apps in the store, as the API would make them, and their dynos."""

    def __init__(self, platform: FleetPlatform, store: Store) -> None:
        self.platform, self.store = platform, store
        self.vault = Vault(platform.configuration.secret("encryption_key"))

    def app(self, name: str, runtime: str = "common", **commands: str) -> uuid.UUID:
        """An app with one release of the stack image that runs these commands."""
        with self.store.transaction() as session:
            account = session.scalars(select(Account)).one()
            app = App(name=name, owner_id=account.id, stack="dynoform-13", runtime=runtime)
            session.add(app)
            session.flush()
            image = self.platform.images["stack-13"]
            slug = Slug(
                id=uuid.uuid4(),
                app_id=app.id,
                image=image,
                size=1,
                checksum="-",
                stack="dynoform-13",
                process_types=commands,
            )
            session.add(slug)
            config = add_config(session, self.vault, app.id, {})
            create_release(session, app, description="test", account_id=account.id, slug=slug, config=config)
            return app.id

    def scale(self, app_id: uuid.UUID, **quantities: int) -> None:
        """Set how many dynos of each type the app should have."""
        with self.store.transaction() as session:
            for type_, quantity in quantities.items():
                condition = (Formation.app_id == app_id, Formation.type == type_)
                session.execute(update(Formation).where(*condition).values(quantity=quantity))
            notify(session, FORMATION, app_id)

    def dynos(self, app_id: uuid.UUID) -> list[Dyno]:
        """The app's dynos."""
        with self.store.transaction() as session:
            return list(session.scalars(select(Dyno).where(Dyno.app_id == app_id).order_by(Dyno.number)))

    def places(self, app_id: uuid.UUID) -> list[str | None]:
        """Addresses of the hosts that the app's dynos are on and routed at."""
        return [dyno.address for dyno in self.dynos(app_id) if dyno.state == "up"]

    def hosts(self) -> dict[str, str]:
        """Host name → state, as the reconciler has written it down."""
        with self.store.transaction() as session:
            return {host.name: host.state for host in session.scalars(select(HostRow))}

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Until it holds; the seconds that it took. Fails with the dynos as they are."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, f"{what}: not within {seconds:g} s; {self.explain()}"
            time.sleep(0.1)
        return time.monotonic() - began

    def explain(self) -> str:
        """All dynos, hosts, and the reconcilers' last words."""
        with self.store.transaction() as session:
            dynos = [(d.type, d.number, d.state, d.address, d.port, d.moving) for d in session.scalars(select(Dyno))]
        told = [
            host.docker("service", "logs", "--tail", "15", f"{STACK}_reconcile", check=False, seconds=10)
            for host in list(self.platform.fleet.hosts.values())[:1]
        ]
        return f"{dynos} {self.hosts()}\n{told[0]}"


@contextmanager
def running(fleet: Fleet, images: dict[str, str], folder: Path, managers: int) -> Iterator[tuple[FleetPlatform, Apps]]:
    """The platform on these hosts; what it leaves on this machine goes with the fleet."""
    platform = FleetPlatform(fleet, folder, images)
    try:
        hosts = list(fleet.hosts.values())
        with ThreadPoolExecutor(1) as pool:
            store = pool.submit(platform.start_store, "stack-13", "control-plane", "router")
            platform.make_all(managers, hosts)
        apps = Apps(platform, store.result())
        platform.start_services(hosts[0])
        yield platform, apps
        apps.store.close()
    finally:
        subprocess.run(["rm", "-rf", str(TRUST)], check=False)

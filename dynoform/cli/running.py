"""What a stack runs, asked of the Docker engine and of the Platform API."""

import io
import re
import ssl
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynoform.cli.engine import Engine, is_of_apps
from dynoform.domain.retries import pause

if TYPE_CHECKING:
    import httpx

API_SECONDS = 15
ATTEMPTS = 4
"""How often a call is made whose connection breaks."""
ACCEPT = "application/vnd.heroku+json; version=3"


@dataclass(frozen=True)
class Service:
    """A platform service: running and wanted tasks, image, age of the oldest container, resident memory in bytes."""

    name: str
    running: int
    wanted: int
    image: str
    uptime_seconds: int | None
    memory_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def services(engine: Engine) -> list[Service]:
    """The stack's own services, without dynos and add-ons, by name."""
    containers: dict[str, list[dict[str, Any]]] = {}
    for container in engine.containers():
        service = (container.get("Labels") or {}).get("com.docker.swarm.service.id", "")
        if container.get("State") == "running":
            containers.setdefault(service, []).append(container)
    found = [_service(engine, one, containers.get(one["ID"], [])) for one in engine.services() if not is_of_apps(one)]
    return sorted(found, key=lambda service: service.name)


def _service(engine: Engine, described: Mapping[str, Any], containers: list[dict[str, Any]]) -> Service:
    spec, status = described["Spec"], described.get("ServiceStatus") or {}
    oldest = min((one["Created"] for one in containers), default=None)
    return Service(
        name=spec["Name"],
        running=int(status.get("RunningTasks", len(containers))),
        # Each of the platform's services has work to do: one that somebody scaled to nothing lacks its task.
        wanted=max(1, int(status.get("DesiredTasks", len(containers)))),
        image=spec["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[0],
        uptime_seconds=int(datetime.now(UTC).timestamp() - oldest) if oldest else None,
        memory_bytes=sum(memory(engine, one["Id"]) for one in containers),
    )


def memory(engine: Engine, container: str) -> int:
    """Resident bytes of a container: its processes' proportional shares, else its cgroup's count without the cache."""
    if not engine.remote and (shares := _shares(engine, container)) is not None:
        return shares
    stats = engine.client.api.stats(container, stream=False, one_shot=True).get("memory_stats") or {}
    detail = stats.get("stats") or {}
    return int(detail.get("anon", detail.get("rss", stats.get("usage", 0))))


def _shares(engine: Engine, container: str) -> int | None:
    """The proportional shares of a container's processes; None where we may not look."""
    try:
        pids = [row[1] for row in engine.client.api.top(container, ps_args="-eo user,pid")["Processes"]]
        shares = [proportional(int(pid)) for pid in pids]
    except (OSError, ValueError, KeyError):
        return None
    return None if any(share is None for share in shares) else sum(share or 0 for share in shares)


def proportional(pid: int) -> int | None:
    """The Pss of a process in bytes; None where we may not look."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0  # it has ended
    except OSError:
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


class Api:
    """The Platform API of a stack, as its operator."""

    def __init__(self, url: str, key: str, certificate: Path | None) -> None:
        """`url` as in HEROKU_HOST, `key` the operator's API key, `certificate` the stack's authority; None: a public
        one signed for the API."""
        import httpx

        context = ssl.create_default_context(cafile=str(certificate) if certificate else None)
        headers = {"Accept": ACCEPT, "Authorization": f"Bearer {key}"}

        def client(limits: httpx.Limits) -> httpx.Client:
            # trust_env=False: a proxy cannot reach this machine's loopback address.
            return httpx.Client(
                base_url=url,
                headers=headers,
                verify=context,
                timeout=API_SECONDS,
                limits=limits,
                trust_env=_is_remote(url),
            )

        self.client = client(httpx.Limits())
        # What must not be done twice gets a connection of its own: an idle one may be closed in the moment in which it
        # is used again, and nobody could tell whether the call was heard.
        self._once = client(httpx.Limits(max_keepalive_connections=0))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """What `path` answers, as JSON. Raises `OSError` when it does not, or says no; so do the others."""
        return self._call("GET", path, headers=headers)

    def every(self, path: str) -> list[Any]:
        """All pages of the list that `path` answers with."""
        found: list[Any] = []
        headers: dict[str, str] = {}
        while True:
            answer = self._heard("GET", path, headers=headers)
            found += answer.json()
            if "Next-Range" not in answer.headers:
                return found
            headers = {"Range": answer.headers["Next-Range"]}

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Sends `body` as JSON, returns the answer's."""
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Sends `body` as JSON, returns the answer's."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """Deletes what `path` names."""
        return self._call("DELETE", path)

    def put_raw(self, url: str, content: bytes) -> None:
        """Uploads to an address that carries its own permission."""
        self._call("PUT", url, content=content)

    def _call(self, method: str, path: str, **what: Any) -> Any:
        answer = self._heard(method, path, **what)
        return answer.json() if answer.content and "json" in answer.headers.get("content-type", "") else None

    def _heard(self, method: str, path: str, **what: Any) -> "httpx.Response":
        """The answer, if it is a good one; else `OSError`."""
        import httpx

        try:
            return self._answer(method, path, **what).raise_for_status()
        except httpx.HTTPError as error:
            raise OSError(f"{method} {path.partition('?')[0]}: {error}") from error

    def _answer(self, method: str, path: str, **what: Any) -> "httpx.Response":
        """The answer; asked for again, a few times, when the connection broke and it does no harm."""
        import httpx

        client, failures = (self._once if method == "POST" else self.client), 0
        while True:
            try:
                answer = client.request(method, path, **what)
            except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
                failures += 1
                again = method != "POST" or isinstance(error, httpx.ConnectError)
                if not again or failures >= ATTEMPTS:
                    raise
                time.sleep(pause(failures - 1))
                continue
            if method == "DELETE" and failures and answer.status_code == httpx.codes.NOT_FOUND:
                return httpx.Response(httpx.codes.NO_CONTENT, request=answer.request)  # it was heard before
            return answer

    def apps(self) -> list[dict[str, Any]]:
        """Apps with their address and dynos: ``{"name", "web_url", "dynos": [{"name", "state"}]}``."""
        found = []
        for app in self.every("/apps"):
            dynos = [{"name": one["name"], "state": one["state"]} for one in self.every(f"/apps/{app['id']}/dynos")]
            found.append({"name": app["name"], "web_url": app.get("web_url"), "dynos": dynos})
        return found


def _is_remote(url: str) -> bool:
    return not re.match(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:|/|$)", url)


def archive(directory: Path) -> bytes:
    """The files of `directory` as a gzipped tar, the way an app's source is uploaded."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(directory, arcname=".")
    return buffer.getvalue()


def total_memory(found: Iterable[Service]) -> int:
    """Resident bytes of all `found` services."""
    return sum(service.memory_bytes for service in found)

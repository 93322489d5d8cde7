"""Dynoform's own, for the operator alone: the hosts that dynos run on, and how they are."""

from fastapi import APIRouter
from sqlalchemy import func, select
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import ranges
from dynoform.api.apps import RangeHeader
from dynoform.api.authentication import Caller, check_operator
from dynoform.api.objects import shown
from dynoform.api.services import Use
from dynoform.domain import host_health
from dynoform.domain.host_health import Health
from dynoform.store.tables import Host, HostReport

router = APIRouter(tags=["dynoform hosts"])
_FIELDS = ("id",)
"""Not the name: two hosts may have the same."""


class HostObject(TypedDict):
    """A host; what only its agent can tell is null until it has."""

    id: str
    name: str
    zone: str
    runtime: str
    state: str
    problem: str | None
    """What is wrong, and what to do; null when nothing is."""
    memory_bytes: int
    free_memory_bytes: int | None
    disk_bytes: int | None
    free_disk_bytes: int | None
    load: float | None
    """Of the last minute."""
    dynos: int | None
    engine_version: str | None
    reported_at: str | None


@router.get("/dynoform/hosts", response_model=list[HostObject])
def host_list(services: Use, caller: Caller, wanted: RangeHeader = None) -> JSONResponse:
    """All hosts, by name unless a range is asked for."""
    check_operator(caller, "You do not have access to the platform's hosts. Only its operator has.")
    query = select(Host, HostReport, func.clock_timestamp())
    query = query.outerjoin(HostReport, HostReport.node_id == Host.id).order_by(Host.name, HostReport.reported_at)
    with services.store.transaction() as session:
        # Of a host that was renamed, the newest report counts.
        found = {host.id: (host, report, now) for host, report, now in session.execute(query)}
        shown_hosts = [
            _show(host, report, host_health.problem(host.state, _health(report), now))
            for host, report, now in found.values()
        ]
    return ranges.cut(shown_hosts, wanted, _FIELDS)


def _health(report: HostReport | None) -> Health | None:
    if report is None:
        return None
    return Health(report.reported_at, report.engine, report.disk_bytes, report.free_disk_bytes)


def _show(host: Host, report: HostReport | None, problem: str | None) -> HostObject:
    return {
        "id": host.id,
        "name": host.name,
        "zone": host.zone,
        "runtime": host.runtime,
        "state": host.state,
        "problem": problem,
        "memory_bytes": host.memory_bytes,
        "free_memory_bytes": report.free_memory_bytes if report else None,
        "disk_bytes": report.disk_bytes if report else None,
        "free_disk_bytes": report.free_disk_bytes if report else None,
        "load": report.load if report else None,
        "dynos": report.dynos if report else None,
        "engine_version": (report.engine or None) if report else None,
        "reported_at": shown(report.reported_at) if report else None,
    }

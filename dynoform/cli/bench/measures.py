"""The measurements by name: the median of the runs of each counts."""

import os
from pathlib import Path

from dynoform.cli.bench import (
    api,
    builds,
    deploys,
    dynos,
    hosts,
    kafka,
    logs,
    platform,
    pooling,
    postgres,
    redis,
    rollback,
    routers,
    stacks,
)
from dynoform.cli.bench.measure import Measure
from dynoform.cli.engine import local

MEASURES = (
    Measure("cold-up", "`up` with nothing cached", "s", 720, platform.cold_up, once=True),
    Measure("warm-up", "`up` with images and tools cached", "s", 90, platform.warm_up),
    Measure("unchanged-up", "`up` without changes", "s", 8, platform.unchanged_up),
    Measure("memory", "platform processes without an app, a minute after `up`", "MiB", 400, platform.resident_memory),
    Measure("first-answer", "Python sample: source to first 200, warm cache", "s", 20, platform.first_answer),
    Measure("fast-tests", "`test --fast`", "s", 120, platform.fast_tests, once=True),
    Measure("all-tests", "`test`", "s", 2400, platform.all_tests, once=True),
    Measure("app-info", "`GET /apps/{app}` with 1,000 apps, 99th percentile", "ms", 30, api.app_info),
    Measure("app-list", "`GET /apps`, 1,000 apps in one page", "ms", 300, api.app_list),
    Measure("config-set", "`config:set` to every dyno on the new release, less its boot", "s", 3, deploys.config_set),
    Measure("git-push", "`git push` of a small change, less the buildpack", "s", 3, deploys.git_push),
    Measure("build-overhead", "build of a small change, less the buildpack", "s", 1.5, builds.overhead),
    Measure("build-cache", "200 MB saved in a build's cache, or restored", "s", 1, builds.cache),
    Measure("builds-at-once", "ten builds at once, of their sum one by one", "%", 120, builds.at_once),
    Measure("crash", "crash of a process to the next dyno routed, less its boot", "s", 1, dynos.crash),
    Measure("rolling", "release of 20 dynos under 200 requests/s: failed", "requests", 0, dynos.rolling, once=True),
    Measure("reconcile-pass", "a pass over 1,000 dynos on 50 simulated hosts", "s", 2, dynos.pass_seconds),
    Measure("reconcile-memory", "the reconciler of such passes, resident", "MiB", 200, dynos.pass_memory),
    Measure("log-tail", "10,000 lines/s from a dyno's file to a tail, 99th percentile", "s", 1, logs.tail),
    Measure("log-loss", "lines lost uncounted, of a dyno that writes as fast as it can", "lines", 0, logs.uncounted),
    Measure("host-lost", "a killed host's dynos serve elsewhere", "s", 15, hosts.host_lost, once=True),
    Measure("leader-lost", "the same for the swarm's leader", "s", 35, hosts.leader_lost, once=True),
    Measure("fleet-up", "three empty hosts by SSH until an app answers at each", "s", 600, hosts.fleet_up, once=True),
    Measure("fleet-again", "`site.yml` again on three hosts, changing nothing", "s", 60, hosts.fleet_again, once=True),
    Measure("fleet-add", "`add_host.yml` for a fourth host", "s", 90, hosts.fleet_add, once=True),
    Measure("ansible-hosts", "a host of fifty in a playbook, of one of ten", "%", 100, hosts.ansible_hosts, once=True),
    Measure("registry-growth", "the registry, by a push with 1 MB of other files", "MiB", 2, stacks.registry_growth),
    Measure("relay", "50 apps on a new stack image under 100 requests/s", "s", 120, stacks.relay, once=True),
    Measure("idle-dynos", "each of 100 idle dynos, with the engine's part", "MiB", 60, dynos.idle_dynos, once=True),
    Measure("kafka-pause", "a broker killed under 5,000 messages/s: none acknowledged", "s", 8, kafka.pause),
    Measure("kafka-loss", "messages lost then, or there twice", "messages", 0, kafka.loss),
    Measure("redis-failover", "a Redis primary killed under writers: none acknowledged", "s", 3, redis.failover),
    Measure("pg-essential", "an essential PostgreSQL, until its address is in the app", "s", 15, postgres.essential),
    Measure("pg-provision", "the same of a premium one", "s", 45, postgres.premium),
    Measure("pg-outage", "its primary killed, and away: none acknowledged", "s", 15, postgres.outage, once=True),
    Measure("pg-loss", "acknowledged rows lost then", "rows", 0, postgres.loss, once=True),
    Measure("pg-switchover", "its primary hands over: none acknowledged", "s", 3, postgres.switchover, once=True),
    Measure("pg-pooling", "transactions/s on 20 connections, of 1,000 clients on 20 by a pool", "%", 125, pooling.rate),
    Measure("pg-rollback", "5 GB of a database back at a second, of a copy of its files", "%", 100, rollback.of_copy),
    Measure("router-rate", "requests/s needed of a router with 10,000 apps, of its own", "%", 100, routers.rate),
    Measure("router-p99", "99th percentile of that router, of the best peer's", "%", 100, routers.p99),
    Measure("router-tls", "nginx's full TLS handshakes/s, of the router's", "%", 100, routers.handshakes),
    Measure("router-memory", "1,000 apps more in a router, of one or of two dynos", "MiB", 10, routers.memory),
    Measure("route-change", "slowest of a minute's changes with 10,000 apps, none failed", "s", 1, routers.change),
    Measure("router-restart", "start of a router with 10,000 apps, no control plane", "s", 2, routers.restart),
    Measure("router-certificates", "the same with 1,000 certificates", "s", 5, routers.certificates),
)


def machine() -> str:
    """This machine in one line: processors, memory, system, kernel, Docker."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    system = next(
        (line.partition("=")[2].strip('"') for line in release.splitlines() if line.startswith("PRETTY_NAME")), ""
    )
    with local("bench") as engine:
        docker = engine.client.version().get("Version") if engine else "none"
    kernel = os.uname().release.partition("-")[0]
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB; {system}, Linux {kernel}; Docker {docker}"

#!/bin/sh
# Starts the Docker engine where no init system does, detached from the caller, and waits until it answers.
# usage: start_dockerd.sh CLIENT SECONDS
set -eu
client=$1
seconds=$2
log=/var/log/docker.log

# A container-like host may refuse higher limits: the engine then lives with those it has.
prlimit --pid $$ --nofile=1048576 2>/dev/null || true
prlimit --pid $$ --nproc=unlimited 2>/dev/null || true
if [ -z "$(ls -A /sys/fs/cgroup 2>/dev/null)" ] && command -v cgroupfs-mount >/dev/null; then
    cgroupfs-mount
fi
# A pid file of an engine that was killed may name a process that lives again as something else.
if [ -f /var/run/docker.pid ] && [ "$(cat "/proc/$(cat /var/run/docker.pid)/comm" 2>/dev/null)" != dockerd ]; then
    rm -f /var/run/docker.pid
fi

# What an engine that was killed has kept of stacks' networks would keep Swarm from making them anew.
for script in /etc/dynoform/*/host-network; do
    [ ! -x "$script" ] || "$script" forget >>"$log" 2>&1 || true
done

# The log may have the words of an earlier engine: those of this one come after.
: >>"$log"
written=$(wc -c <"$log")
setsid dockerd >>"$log" 2>&1 </dev/null &
engine=$!

fail() {
    echo "dockerd $1: $(tail -c "+$((written + 1))" "$log" | tail -n 1) — see $log" >&2
    exit 1
}

end=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt "$end" ]; do
    if timeout 5 "$client" version >/dev/null 2>&1; then
        exit 0
    fi
    kill -0 "$engine" 2>/dev/null || fail "ended at once"
    sleep 0.5
done
fail "gave no answer in $seconds s"

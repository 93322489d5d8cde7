#!/bin/bash
# The Python that the app asks for. Sourced by compile, which has build_dir, cache and buildpack.
# shellcheck disable=SC2153,SC2154 # what compile sets

# What can be had without leaving Debian, newest first: the stack's own and Debian 12's.
readonly older=3.11 older_suite=bookworm

# The version asked for, as "FILE VERSION"; nothing when none is.
wanted_version() {
  if [[ -f $build_dir/.python-version ]]; then
    printf '.python-version %s\n' "$(grep -Ev '^[[:space:]]*(#|$)' "$build_dir/.python-version" | head -n 1 | tr -d '[:space:]' | sed 's/^python-//')"
  elif [[ -f $build_dir/runtime.txt ]]; then
    printf 'runtime.txt %s\n' "$(head -n 1 "$build_dir/runtime.txt" | tr -d '[:space:]' | sed 's/^python-//')"
  else
    python3 "$buildpack/lib/facts.py" python 2>/dev/null || fail "$(manager_file): cannot be read: mend it and push again"
  fi
}

# Sets python (the program) and available (its version) to what the app asks for.
bring_python() {
  local file version stack
  stack=$(python3 -c 'import platform; print(platform.python_version())')
  python=$(command -v python3) available=$stack
  read -r file version < <(wanted_version) || true
  if [[ -z ${file-} ]]; then
    topic "No Python version was specified. Using the stack's: Python $available"
  elif python3 "$buildpack/../lib/choose.py" "$version" "$stack" >/dev/null; then
    topic "Using Python $available, as $file asks for $version"
  elif [[ $version =~ ^$older(\.|$) || $version == *[!0-9.]* ]] && bring_older "$file" "$version"; then
    topic "Using Python $available from Debian 12, as $file asks for $version"
  elif bring_with_uv "$file" "$version"; then
    topic "Using Python $available from uv, as $file asks for $version"
  else
    fail "$file: Python ${version:-of no version} cannot be had on $STACK, which has $stack: ask for ${stack%.*} or $older"
  fi
}

# Debian 12's Python, unpacked into the slug, where it finds its own library.
bring_older() {
  local version kept=$cache/python-$older
  if ! cache_has "$kept" "$(this_week)"; then
    version=$(debian_version "$older_suite" "python$older") || return 1
    python3 "$buildpack/../lib/choose.py" "$2" "$version" >/dev/null || return 1
    debian_unpack "$older_suite" "$cache/unpacked" "python$older" "libpython$older-dev" || return 1
    cache_save "$kept" "$cache/unpacked" "$(this_week)"
    rm -rf "$cache/unpacked"
  fi
  cp -a "$kept/content" "$build_dir/.heroku/python-runtime"
  python=$build_dir/.heroku/python-runtime/usr/bin/python$older
  LD_LIBRARY_PATH=$build_dir/.heroku/python-runtime/usr/lib/$(gcc -dumpmachine)
  export LD_LIBRARY_PATH
  available=$("$python" -c 'import platform; print(platform.python_version())')
  python3 "$buildpack/../lib/choose.py" "$2" "$available" >/dev/null
}

# Python's standalone builds, which uv fetches and checks by hash from where they are published or from UV_PYTHON_INSTALL_MIRROR.
bring_with_uv() {
  local folder=$build_dir/.heroku/python-runtime
  [[ $2 =~ ^3\.([89]|[1-9][0-9])(\.[0-9]+)?$ ]] || return 1 # those that there are
  bring_tool uv >/dev/null || return 1
  rm -rf "$folder"
  if [[ ! -x $cache/python-$2/bin/python3 ]]; then
    UV_HTTP_TIMEOUT=30 timeout 180 "$cache/tools/uv/bin/uv" python install --quiet --no-bin --no-registry --install-dir "$cache/uv-python" "$2" >/dev/null 2>&1 || return 1
    rm -rf "$cache"/python-[0-9]*
    mv "$cache"/uv-python/cpython-"$2"*/ "$cache/python-$2"
    rm -rf "$cache/uv-python"
  fi
  cp -a "$cache/python-$2" "$folder"
  python=$folder/bin/python3
  available=$("$python" -c 'import platform; print(platform.python_version())')
}

# Makes the app's environment, with pip.
make_environment() {
  local wheels
  wheels=(/usr/share/python-wheels/pip-*.whl)
  if [[ $python != "$build_dir"/* ]]; then
    python3 -m venv "$environment"
  else
    "$python" -m venv --without-pip "$environment"
    PYTHONPATH=${wheels[0]} "$environment/bin/python" -m pip install --quiet --no-index --disable-pip-version-check "${wheels[0]}"
  fi
}

# Installs one of the package managers ($1), locked by hash, into an environment of its own in the cache.
bring_tool() {
  local folder=$cache/tools/$1 lock=$buildpack/tools/$1.lock key
  key=$(fingerprint "$STACK" "$(python3 --version)" -- "$lock")
  [[ ! -f $folder/key || $(<"$folder/key") != "$key" ]] || return 0
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --progress-bar off --disable-pip-version-check --no-input --no-compile \
    --cache-dir "$cache/pip" --require-hashes --no-deps --requirement "$lock" 2>&1 | indent || return 1
  printf '%s\n' "$key" >"$folder/key"
}

#!/bin/bash
# Dependencies, by the package manager that the app has. Sourced by compile, which has environment, python and manager.
# shellcheck disable=SC2154 # what compile sets

# The manager whose file comes first in Heroku's order.
choose_manager() {
  local found=()
  [[ ! -f Pipfile && ! -f Pipfile.lock ]] || found+=(pipenv)
  [[ ! -f requirements.txt ]] || found+=(pip)
  [[ ! -f poetry.lock ]] || found+=(poetry)
  [[ ! -f uv.lock ]] || found+=(uv)
  manager=${found[0]}
  [[ ${#found[@]} -eq 1 ]] || info "Files of several package managers are here (${found[*]}). Using $manager: remove those that do not count"
}

manager_file() {
  case $manager in
    pip) echo requirements.txt ;; pipenv) echo Pipfile.lock ;; poetry) echo poetry.lock ;; uv) echo uv.lock ;;
  esac
}

# Fails, or prints one word for everything that decides what gets installed.
dependencies_key() {
  local files
  if [[ $manager == pip ]]; then
    files=$(requirement_files requirements.txt) || return 1
    mapfile -t files <<<"$files"
  else
    python3 "$buildpack/lib/facts.py" reproducible "$manager" 2>/dev/null || return 1
    files=("$(manager_file)")
    for file in Pipfile pyproject.toml poetry.toml uv.toml; do [[ ! -f $file ]] || files+=("$file"); done
  fi
  fingerprint "$STACK" "$available" "$environment" "${PIP_INDEX_URL-}" "${PIP_EXTRA_INDEX_URL-}" "${UV_INDEX_URL-}" -- "${files[@]}"
}

# All files that decide what pip installs; fails when some of it is not in files (a local path, a repository).
requirement_files() {
  local line file=$1 included directory
  directory=$(dirname "$file")
  printf '%s\n' "$file"
  while read -r line || [[ -n $line ]]; do
    case $line in
      '#'* | -i* | --index-url* | --extra-index-url*) ;;
      -e* | --editable* | .* | /* | *file:* | *git+* | *://*) return 1 ;;
      -r* | -c* | --requirement* | --constraint*)
        included=$(sed -E 's/^(-r|-c|--requirement|--constraint)[ =]*//' <<<"$line")
        [[ -f $directory/$included ]] || return 1
        requirement_files "$directory/$included" || return 1
        ;;
    esac
  done <"$file"
}

# Makes the app's environment and installs into it.
install_dependencies() {
  make_environment
  # The managers install into the environment that is active.
  export VIRTUAL_ENV=$environment PATH=$environment/bin:$PATH
  topic "Installing dependencies with $manager"
  case $manager in
    pip)
      run_manager "$environment/bin/python" -m pip install --progress-bar off --disable-pip-version-check --no-input \
        --cache-dir "$cache/pip" --requirement requirements.txt
      ;;
    pipenv)
      export PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIPENV_HIDE_EMOJIS=1 PIPENV_YES=1 PIP_CACHE_DIR=$cache/pip PIPENV_CACHE_DIR=$cache/pipenv
      if [[ -f Pipfile.lock ]]; then
        run_tool pipenv install --deploy
      else
        info "Pipfile.lock is missing: versions may change from build to build. Run pipenv lock and add it to Git"
        run_tool pipenv install --skip-lock
      fi
      ;;
    poetry)
      export POETRY_VIRTUALENVS_CREATE=false POETRY_NO_INTERACTION=1 POETRY_CACHE_DIR=$cache/poetry POETRY_VIRTUALENVS_USE_POETRY_PYTHON=false
      run_tool poetry sync --only main --no-ansi
      ;;
    uv)
      export UV_PROJECT_ENVIRONMENT=$environment UV_CACHE_DIR=$cache/uv UV_LINK_MODE=copy UV_PYTHON=$environment/bin/python \
        UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true UV_NO_PROGRESS=1 UV_COMPILE_BYTECODE=1
      run_tool uv sync --locked --no-default-groups
      ;;
  esac
}

run_tool() {
  bring_tool "$1" || fail "$1 cannot be installed, see above: try again"
  run_manager "$cache/tools/$1/bin/$1" "${@:2}"
}

run_manager() {
  "$@" 2>&1 | indent || fail "$(manager_file): $manager could not install it, see above: mend it and push again"
}

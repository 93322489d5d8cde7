#!/bin/bash
# Dependencies, by the package manager that the app has. Sourced by compile.
# shellcheck disable=SC2154 # what compile sets

# Installs everything that the build may need.
install_dependencies() {
  case ${package[manager]} in
    npm)
      local verb=install
      [[ -z ${package[lock]} || ${USE_NPM_INSTALL-} == true ]] || verb=ci
      run_manager npm "$verb" --include=dev
      ;;
    pnpm) run_manager pnpm install --frozen-lockfile --prod=false ;;
    yarn)
      if is_classic; then
        run_manager yarn install --frozen-lockfile --ignore-engines --production=false --non-interactive
      else
        run_manager yarn install --immutable
      fi
      ;;
  esac
}

# Removes what only the build needed, unless the app wants to keep it.
prune_dependencies() {
  [[ -d node_modules && ${package[prunable]} == true ]] || return 0
  if [[ ${NPM_CONFIG_PRODUCTION-} == false || ${YARN_PRODUCTION-} == false || ${YARN2_SKIP_PRUNING-} == true || ${PNPM_SKIP_PRUNING-} == true ]]; then
    topic "Keeping what only the build needed, as a config var asks for it"
    return
  fi
  topic "Removing what only the build needed"
  case ${package[manager]} in
    npm) run_manager npm prune --omit=dev ;;
    pnpm) run_manager pnpm prune --prod --ignore-scripts ;;
    yarn)
      if is_classic; then
        run_manager yarn install --production --frozen-lockfile --ignore-engines --ignore-scripts --prefer-offline --non-interactive
      elif [[ ${package[managerVersion]} != [23].* ]]; then
        run_manager yarn workspaces focus --all --production
      fi
      ;;
  esac
}

run_manager() {
  [[ $2 == prune || $* == *--production* && $* != *--production=false* ]] || topic "Installing dependencies with $1 $2"
  "$@" 2>&1 | indent || fail "package.json: $1 $2 failed, see above: mend it and push again"
}

is_classic() { [[ ${package[managerVersion]} == [01].* ]]; }

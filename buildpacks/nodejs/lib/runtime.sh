#!/bin/bash
# Node.js and its package managers, in the versions that the app asks for: from the npm registry, whose client checks their
# hashes. Sourced by compile, which has package[], cache, build_dir and buildpack.
# shellcheck disable=SC2154 # what compile sets

# The stack's own, whatever the app brings later.
readonly stack_path=$PATH
stack_npm=$(command -v npm)
readonly stack_npm

# Prints the newest version of a package ($1) that a range ($2) allows, or fails and prints what there is. Asks once a day.
newest_version() {
  local versions version name=${1//\//-}-${2//\//-}
  ! remembered "$name" || return 0
  versions=$(npm view "$1" versions --json 2>/dev/null) || return 2
  version=$(node "$buildpack/lib/newest.js" "$stack_npm" "$2" <<<"$versions") || {
    printf '%s\n' "$version"
    return 1
  }
  remember "$name" "$version"
  printf '%s\n' "$version"
}

# Brings a package ($1) in a version ($2) into a folder ($3), from the cache if it was there before.
fetch_package() {
  local kept=$cache/packages/${1//\//-}-$2 archive
  if [[ ! -d $kept ]]; then
    mkdir -p "$cache/packages"
    archive=$(cd "$cache/packages" && npm pack --silent "$1@$2") || return 1
    rm -rf "$kept.new" && mkdir "$kept.new"
    tar --extract --file "$cache/packages/$archive" --directory "$kept.new" --strip-components=1 --no-same-owner
    rm -f "$cache/packages/$archive"
    mv "$kept.new" "$kept"
  fi
  touch "$kept/.used"
  mkdir -p "$(dirname "$3")" && rm -rf "$3" && cp -a "$kept" "$3" && rm "$3/.used"
}

# Keeps no version in the cache that this build did not use.
forget_packages() {
  local kept
  for kept in "$cache/packages"/*; do
    if [[ -f $kept/.used ]]; then rm "$kept/.used"; else rm -rf "$kept"; fi
  done
}

# Uses the stack's Node.js, or brings another.
bring_node() {
  local available=${package[available]} wanted=${package[wanted]} origin=${package[origin]} version arch
  if [[ -z $wanted ]]; then
    topic "No engines.node in package.json. Using the stack's: Node.js $available"
    export npm_config_nodedir=/usr  # where the stack's headers are: addons need not fetch them
    return
  elif [[ ${package[satisfied]} == true ]]; then
    topic "Using Node.js $available, as $origin asks for $wanted"
    export npm_config_nodedir=/usr
    return
  fi
  arch=$(dpkg --print-architecture)
  version=$(newest_version "node-linux-${arch/amd64/x64}" "$wanted") || {
    [[ $? -eq 1 ]] || fail "$origin: Node.js $wanted is not on $STACK, which has $available, and the npm registry does not answer: try again"
    fail "$origin: Node.js $wanted cannot be had: ask for one of ${version}, or the stack's $available"
  }
  topic "Using Node.js $version, as $origin asks for $wanted"
  fetch_package "node-linux-${arch/amd64/x64}" "$version" .heroku/node ||
    fail "$origin: Node.js $version cannot be fetched from the npm registry: try again"
  # Headers, for addons: the build needs them, the slug does not.
  rm -rf .heroku/node/include
  export npm_config_nodedir=$cache/packages/node-linux-${arch/amd64/x64}-$version
  bring_npm_for "${version%%.*}"
  package[available]=$version
  export PATH=$build_dir/.heroku/node/bin:$PATH
}

# The stack's npm works with Node.js 18 and newer.
bring_npm_for() {
  local npm
  if [[ $1 -lt 12 ]]; then npm=6; elif [[ $1 -lt 14 ]]; then npm=8; elif [[ $1 -lt 20 ]]; then npm=9; else return 0; fi
  [[ -n ${package[npmWanted]} ]] || package[npmWanted]=$npm
}

# Uses the stack's npm, or brings the one that engines.npm asks for.
bring_npm() {
  local wanted=${package[npmWanted]} here version
  [[ -n $wanted ]] || return 0
  here=$(npm --version 2>/dev/null) || here=
  if [[ -n $here ]] && node "$buildpack/lib/newest.js" "$stack_npm" "$wanted" <<<"[\"$here\"]" >/dev/null 2>&1; then
    return
  fi
  # The stack's own npm finds it: with the stack's own Node.js, as the app's may be too old for it.
  version=$(PATH=$stack_path newest_version npm "$wanted") || fail "package.json: npm $wanted cannot be had: ask for one of $version"
  topic "Using npm $version"
  PATH=$stack_path fetch_package npm "$version" .heroku/node/lib/node_modules/npm ||
    fail "package.json: npm $version cannot be fetched from the npm registry: try again"
  link_program npm ../lib/node_modules/npm/bin/npm-cli.js
  link_program npx ../lib/node_modules/npm/bin/npx-cli.js
  export PATH=$build_dir/.heroku/node/bin:$PATH
}

# Brings yarn or pnpm ($1) as the app pins it, in the version it was locked with otherwise.
bring_manager() {
  local name=$1 wanted=${package[managerVersion]} module=$1 version program
  if [[ $name == yarn && -n ${package[yarnPath]} ]]; then
    [[ -f ${package[yarnPath]} ]] || fail ".yarnrc.yml: yarnPath ${package[yarnPath]} is not in the app: add the file to Git"
    version=$(node "${package[yarnPath]}" --version)
    mkdir -p .heroku/node/bin
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec node "%s" "$@"\n' "$build_dir/${package[yarnPath]}" >.heroku/node/bin/yarn
    chmod +x .heroku/node/bin/yarn
  else
    [[ $name != yarn || ${wanted#[\^~>=v]} == [01]* ]] || module=@yarnpkg/cli-dist
    version=$(PATH=$stack_path newest_version "$module" "$wanted") || fail "package.json: $name $wanted cannot be had: ask for one of $version"
    PATH=$stack_path fetch_package "$module" "$version" ".heroku/node/lib/node_modules/$name" ||
      fail "package.json: $name $version cannot be fetched from the npm registry: try again"
    for program in bin/yarn.js bin/pnpm.mjs bin/pnpm.cjs; do
      [[ ! -f .heroku/node/lib/node_modules/$name/$program ]] || link_program "$name" "../lib/node_modules/$name/$program"
    done
  fi
  package[managerVersion]=$version
  export PATH=$build_dir/.heroku/node/bin:$PATH
  topic "Using $name $version"
}

# Makes the program $1 of the app's Node.js a link to $2.
link_program() {
  mkdir -p .heroku/node/bin
  chmod +x ".heroku/node/bin/$2"
  ln -sfn "$2" ".heroku/node/bin/$1"
}

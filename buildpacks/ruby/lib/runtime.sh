#!/bin/bash
# The Ruby that the app asks for, from Debian's packages: the stack's release and the one before. Sourced by compile.
# shellcheck disable=SC2153,SC2154 # compile sets build_dir, cache and buildpack

# Sets origin and wanted to what asks for a version, and which.
read_wanted() {
  local file
  origin=Gemfile
  file=$(sed -nE 's/^[[:space:]]*ruby[[:space:]]*\(?[[:space:]]*file:[[:space:]]*["'\'']([^"'\'']+).*/\1/p' Gemfile | head -n 1)
  wanted=$(sed -nE 's/^[[:space:]]*ruby[[:space:]]*\(?[[:space:]]*(["'\''][^#)]*).*/\1/p' Gemfile | head -n 1 | tr -d "\"'" | sed -E 's/,[[:space:]]*:?[a-z_]+.*//')
  [[ -z $file || ! -f $file ]] || { origin=$file && wanted=$(version_in "$file"); }
  [[ -n $wanted || ! -f .ruby-version ]] || { origin=.ruby-version && wanted=$(version_in .ruby-version); }
}

version_in() { head -n 1 "$1" | tr -d '[:space:]' | sed 's/^ruby-//'; }

# Prints "VERSION SUITE" of each Ruby that there is, newest first. Asks once a day.
available_rubies() {
  local stack older
  ! remembered rubies || return 0
  stack=$(debian_version trixie ruby3.3) || return 1
  older=$(debian_version bookworm ruby3.1) || older=
  remember rubies "$stack trixie${older:+$'\n'$older bookworm}"
  remembered rubies
}

bring_ruby() {
  local origin wanted available version suite
  read_wanted
  available=$(available_rubies) || fail "Gemfile: Ruby cannot be fetched, as Debian's mirror does not answer: try again"
  # shellcheck disable=SC2046
  version=$(python3 "$buildpack/../lib/choose.py" "$wanted" $(cut -d ' ' -f 1 <<<"$available")) ||
    fail "$origin: Ruby $wanted cannot be had on $STACK: ask for $(cut -d ' ' -f 1 <<<"$available" | paste -sd ' ' | sed 's/ / or /')"
  suite=$(sed -n "s/^$version //p" <<<"$available")
  topic "Using Ruby $version${wanted:+, as $origin asks for $wanted}"
  unpack_ruby "$suite" "$(cut -d . -f 1-2 <<<"$version")"
  use_ruby "$(cut -d . -f 1-2 <<<"$version")"
}

# Ruby, Bundler and the packages that an Aptfile lists: gems of Debian's where RubyGems cannot be reached.
unpack_ruby() {
  local key packages=("ruby$2" "ruby$2-dev" bundler) debian=()
  mapfile -t debian < <(aptfile_packages .)
  key="$(this_week) $1 ${packages[*]} ${debian[*]}"
  if ! cache_has "$cache/ruby" "$key"; then
    rm -rf "$cache/unpacked"
    debian_unpack "$1" "$cache/unpacked" "${packages[@]}" "${debian[@]}" ||
      fail "${debian[*]:+Aptfile or }Debian: ${packages[*]} ${debian[*]} cannot be fetched, see above: mend the list or try again"
    find "$cache/unpacked/usr/bin" -type f -exec sed -i '1s|^#!/usr/bin/ruby.*|#!/usr/bin/env ruby|' {} +
    ln -sfn "ruby$2" "$cache/unpacked/usr/bin/ruby" # an older one brings the newer along
    cache_save "$cache/ruby" "$cache/unpacked" "$key"
    rm -rf "$cache/unpacked"
  fi
  cp -a "$cache/ruby/content" .heroku/ruby
}

# Writes what finds the unpacked Ruby ($1, like 3.3) into the profile, and uses it.
use_ruby() {
  local abi=$1.0 machine
  machine=$(gcc -dumpmachine)
  cat >.profile.d/ruby.sh <<PROFILE
export PATH="\$HOME/bin:\$HOME/vendor/bundle/bin:\$HOME/.heroku/ruby/usr/bin:\$PATH"
export LD_LIBRARY_PATH="\$HOME/.heroku/ruby/usr/lib/$machine\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
__ruby=\$HOME/.heroku/ruby/usr/lib
export RUBYLIB="\$__ruby/ruby/vendor_ruby:\$__ruby/$machine/ruby/vendor_ruby/$abi:\$__ruby/ruby/$abi:\$__ruby/$machine/ruby/$abi\${RUBYLIB:+:\$RUBYLIB}"
export GEM_HOME="\$HOME/vendor/bundle/ruby/$abi"
__ruby=\$HOME/.heroku/ruby/usr
export GEM_PATH="\$GEM_HOME:\$__ruby/share/rubygems-integration/all:\$__ruby/share/rubygems-integration/$abi:\$__ruby/lib/$machine/rubygems-integration/$abi:\$__ruby/lib/ruby/gems/$abi"
unset __ruby
export BUNDLE_WITHOUT="\${BUNDLE_WITHOUT-development:test}" BUNDLE_VERSION=system BUNDLE_APP_CONFIG="\$HOME/.bundle"
export RACK_ENV="\${RACK_ENV:-production}" RAILS_ENV="\${RAILS_ENV:-production}"
export RAILS_SERVE_STATIC_FILES="\${RAILS_SERVE_STATIC_FILES-enabled}" RAILS_LOG_TO_STDOUT="\${RAILS_LOG_TO_STDOUT-enabled}"
export MALLOC_ARENA_MAX="\${MALLOC_ARENA_MAX:-2}"
PROFILE
  sed "s|\$HOME|$build_dir|g" .profile.d/ruby.sh >"$buildpack/export"
  # shellcheck source=/dev/null
  . "$buildpack/export"
}

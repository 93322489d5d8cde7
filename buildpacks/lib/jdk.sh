#!/bin/bash
# A JDK for languages of the JVM, from Debian's packages. Sourced; needs common.sh, debian.sh, build_dir, cache and buildpack.
# shellcheck disable=SC2154 # compile sets them

# Each JDK that there is, and the release of Debian that has it. The first is what an app gets that asks for none.
readonly jdks="21 trixie
25 trixie
17 bookworm"

# Sets JAVA_HOME to the JDK that system.properties asks for, in the slug. Further packages ($1 …) go into jdk_tree, beside it.
bring_jdk() {
  local wanted major suite key
  wanted=$(cat system.properties 2>/dev/null | sed -nE 's/^[[:space:]]*java\.runtime\.version[[:space:]]*[=:][[:space:]]*([^[:space:]#]+).*/\1/p' | tail -n 1) || true
  major=${wanted#[a-z]*-}
  major=${major#1.}
  major=${major%%.*}
  suite=$(sed -n "s/^${major:-21} //p" <<<"$jdks")
  [[ -n $suite ]] || fail "system.properties: Java $wanted cannot be had on $STACK: ask for one of $(cut -d ' ' -f 1 <<<"$jdks" | sort -n | paste -sd ' ')"
  key="$(this_week) $suite ${major:-21} $*"
  jdk_tree=$cache/jdk/content
  if ! cache_has "$cache/jdk" "$key"; then
    rm -rf "$cache/unpacked"
    debian_unpack "$suite" "$cache/unpacked" "openjdk-${major:-21}-jdk-headless" "$@" ||
      fail "Debian: the JDK ${major:-21}${*:+ or one of $*} cannot be fetched, see above: try again"
    rm -rf "$cache/unpacked"/usr/lib/jvm/*/jmods
    cache_save "$cache/jdk" "$cache/unpacked" "$key"
    rm -rf "$cache/unpacked"
  fi
  copy_jdk "${major:-21}"
  wanted=${wanted:+, as system.properties asks for $wanted}
  topic "Using OpenJDK $(sed -n 's/^JAVA_VERSION="\(.*\)"/\1/p' "$JAVA_HOME/release")$wanted"
}

# Puts JDK $1 of jdk_tree into the slug, with the certificates that the image trusts and the classes that all programs load.
copy_jdk() {
  local slug=$build_dir/.heroku/jdk name machine
  machine=$(gcc -dumpmachine)
  name=$(cd "$jdk_tree/usr/lib/jvm" && echo "java-$1-openjdk-"*)
  mkdir -p "$slug/usr/lib/jvm" "$slug/etc/ssl/certs/java"
  cp -a "$jdk_tree/usr/lib/jvm/$name" "$slug/usr/lib/jvm/"
  cp -a "$jdk_tree/etc/java-$1-openjdk" "$slug/etc/"
  cp -a "$jdk_tree/usr/lib/$machine" "$slug/usr/lib/"
  export JAVA_HOME=$slug/usr/lib/jvm/$name PATH=$slug/usr/lib/jvm/$name/bin:$PATH
  ln -sfn ../../../../../../etc/ssl/certs/java/cacerts "$JAVA_HOME/lib/security/cacerts"
  if [[ ! -f $jdk_tree/cacerts ]]; then
    java "$buildpack/../lib/Certificates.java" /etc/ssl/certs/ca-certificates.crt "$jdk_tree/cacerts" || fail "java: cannot read the stack's certificates"
    # The archive of classes holds the time of the file that they are from: in a slug, all files have this one.
    touch -d @315532801 "$JAVA_HOME/lib/modules"
    java -Xshare:dump >/dev/null 2>&1 && cp -f "$JAVA_HOME"/lib/server/classes*.jsa "$jdk_tree/" || true
  fi
  cp "$jdk_tree/cacerts" "$slug/etc/ssl/certs/java/cacerts"
  cp -f "$jdk_tree"/classes*.jsa "$JAVA_HOME/lib/server/" 2>/dev/null || true
  sed "s|@java_home@|.heroku/jdk/usr/lib/jvm/$name|; s|@libraries@|.heroku/jdk/usr/lib/$machine|" "$buildpack/../lib/jdk_profile.sh" >"$build_dir/.profile.d/jdk.sh"
  # shellcheck disable=SC2016
  printf 'export JAVA_HOME="%s" PATH="%s/bin:$PATH"\n' "$JAVA_HOME" "$JAVA_HOME" >"$buildpack/export"
}

# Prints the path of the Maven to use: the app's wrapper where its Maven can be fetched, else Debian's.
find_maven() {
  export MAVEN_USER_HOME=$cache/maven-wrapper
  if [[ -f mvnw && -f .mvn/wrapper/maven-wrapper.properties ]]; then
    chmod +x mvnw
    if ./mvnw --version >/dev/null 2>&1; then
      echo ./mvnw
      return
    fi
    info "mvnw: its Maven cannot be fetched. Using Debian's" >&2
  fi
  echo "$jdk_tree/usr/share/maven/bin/mvn"
}

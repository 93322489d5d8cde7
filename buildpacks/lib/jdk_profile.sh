# shellcheck shell=bash
# Java for the dyno, and the database's address as JDBC wants it: https://devcenter.heroku.com/articles/connecting-to-relational-databases-on-heroku-with-java
export JAVA_HOME="$HOME/@java_home@"
export PATH="$JAVA_HOME/bin:$PATH"
export LD_LIBRARY_PATH="$HOME/@libraries@${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# The JVM alone would take a quarter of the dyno's memory.
export JAVA_TOOL_OPTIONS="-XX:MaxRAMPercentage=60 -Xss512k -Dfile.encoding=UTF-8${JAVA_TOOL_OPTIONS:+ $JAVA_TOOL_OPTIONS}"

__jdbc() {
  local rest=${2#*://} scheme=${2%%://*} user='' password='' name=${1%_URL}
  case $scheme in postgres | postgresql) scheme=postgresql ;; mysql | mysql2) scheme=mysql ;; *) return ;; esac
  if [[ ${rest%%/*} == *@* ]]; then
    user=${rest%%[:@]*}
    password=${rest%%@*}
    password=${password#"$user"}
    password=${password#:}
    rest=${rest#*@}
  fi
  local query=${user:+user=$user}${password:+&password=$password}
  [[ -z $query ]] || { [[ $rest == *\?* ]] && rest="$rest&$query" || rest="$rest?$query"; }
  [[ $name == DATABASE ]] && name=JDBC_DATABASE || name=${name}_JDBC
  [[ $name == JDBC_* || $name == *_JDBC ]] && export "${name}_URL=jdbc:$scheme://$rest" "${name}_USERNAME=$user" "${name}_PASSWORD=$password"
}
for __name in $(compgen -v | grep -E '_URL$'); do
  [[ $__name == JDBC_* || $__name == *_JDBC_URL ]] || __jdbc "$__name" "${!__name}"
done
if [[ -n ${JDBC_DATABASE_URL-} && ${DISABLE_SPRING_DATASOURCE_URL-} != true ]]; then
  export SPRING_DATASOURCE_URL="${SPRING_DATASOURCE_URL:-$JDBC_DATABASE_URL}" \
    SPRING_DATASOURCE_USERNAME="${SPRING_DATASOURCE_USERNAME:-$JDBC_DATABASE_USERNAME}" \
    SPRING_DATASOURCE_PASSWORD="${SPRING_DATASOURCE_PASSWORD:-$JDBC_DATABASE_PASSWORD}"
fi
unset __name
unset -f __jdbc

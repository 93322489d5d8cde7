(defproject hello "1.0.0"
  :description "Greets, says which dyno of which release answered, and asks its database"
  :repositories ^:replace [["central" "https://repo.maven.apache.org/maven2/"]
                           ;; where the buildpack puts what Aptfile lists
                           ["debian" {:url "file:.heroku/maven-repo" :checksum :ignore}]]
  :dependencies [[org.clojure/clojure "1.12.0"]
                 [org.clojure/java.jdbc "0.7.12"]
                 [org.postgresql/postgresql "42.7.7"]
                 [compojure "debian"]
                 [ring/ring-jetty-adapter "debian"]]
  :main hello.core
  :uberjar-name "hello-standalone.jar"
  :profiles {:uberjar {:aot :all}})

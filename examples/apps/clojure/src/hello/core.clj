(ns hello.core
  "A small web app: greets, says which dyno of which release answered, and asks its database."
  (:require [clojure.java.jdbc :as jdbc]
            [compojure.core :refer [GET routes]]
            [compojure.route :as route]
            [ring.adapter.jetty :refer [run-jetty]])
  (:gen-class))

(defn greeting [environment]
  (str (get environment "GREETING" "Hello") " from Clojure\n"
       "dyno " (get environment "DYNO" "none")
       ;; of those apps that have dyno metadata
       (when-let [release (get environment "HEROKU_RELEASE_VERSION")] (str ", release " release))
       "\n"))

(defn text [status body]
  {:status status :headers {"Content-Type" "text/plain; charset=utf-8"} :body body})

(defn database [url]
  (try
    (text 200 (str "the database says " (:sum (first (jdbc/query {:connection-uri url} "SELECT 40 + 2 AS sum"))) "\n"))
    (catch Exception error
      (println (ex-message error))
      (text 503 "the database does not answer\n"))))

(defn app [environment]
  (routes
   (GET "/" [] (text 200 (greeting environment)))
   (GET "/database" [] (database (get environment "JDBC_DATABASE_URL" "jdbc:none")))
   (route/not-found "not found\n")))

(defn -main []
  (run-jetty (app (System/getenv)) {:port (Integer/parseInt (get (System/getenv) "PORT" "5000"))}))

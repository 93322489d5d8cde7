(ns hello.core
  "A small web app: greets, says which dyno of which release answered, and asks its database."
  (:require [clojure.java.jdbc :as jdbc])
  (:import (com.sun.net.httpserver HttpExchange HttpHandler HttpServer)
           (java.net InetSocketAddress)
           (java.util.concurrent Executors))
  (:gen-class))

(defn greeting [environment]
  (str (get environment "GREETING" "Hello") " from Clojure\n"
       "dyno " (get environment "DYNO" "none")
       ;; of those apps that have dyno metadata
       (when-let [release (get environment "HEROKU_RELEASE_VERSION")] (str ", release " release))
       "\n"))

(defn database [url]
  (try
    [200 (str "the database says " (:sum (first (jdbc/query {:connection-uri url} "SELECT 40 + 2 AS sum"))) "\n")]
    (catch Exception error
      (println (ex-message error))
      [503 "the database does not answer\n"])))

(defn respond [path environment]
  (case path
    "/" [200 (greeting environment)]
    "/database" (database (get environment "JDBC_DATABASE_URL" "jdbc:none"))
    [404 "not found\n"]))

(defn handler []
  (reify HttpHandler
    (handle [_ exchange]
      (let [[status text] (respond (.getPath (.getRequestURI ^HttpExchange exchange)) (System/getenv))
            body (.getBytes ^String text "UTF-8")]
        (.sendResponseHeaders ^HttpExchange exchange status (count body))
        (with-open [out (.getResponseBody ^HttpExchange exchange)]
          (.write out body))))))

(defn -main []
  (let [port (Integer/parseInt (get (System/getenv) "PORT" "5000"))]
    (doto (HttpServer/create (InetSocketAddress. port) 0)
      (.createContext "/" (handler))
      (.setExecutor (Executors/newVirtualThreadPerTaskExecutor))
      (.start))))

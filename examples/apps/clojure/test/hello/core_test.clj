(ns hello.core-test
  (:require [clojure.test :refer [deftest is]]
            [hello.core :as core]))

(defn ask [path environment]
  (let [answer ((core/app environment) {:request-method :get :uri path :headers {}})]
    [(:status answer) (:body answer)]))

(deftest it-greets-with-its-config-var
  (is (= [200 "Hej from Clojure\ndyno web.2, release v7\n"]
         (ask "/" {"GREETING" "Hej" "DYNO" "web.2" "HEROKU_RELEASE_VERSION" "v7"})))
  (is (= "Hello from Clojure\ndyno none\n" (core/greeting {}))))

(deftest it-says-when-its-database-is-gone
  (is (= [503 "the database does not answer\n"] (ask "/database" {})))
  (is (= [404 "not found\n"] (ask "/nothing" {}))))

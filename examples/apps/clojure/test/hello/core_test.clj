(ns hello.core-test
  (:require [clojure.test :refer [deftest is]]
            [hello.core :as core]))

(deftest it-greets-with-its-config-var
  (is (= [200 "Hej from Clojure\ndyno web.2, release v7\n"]
         (core/respond "/" {"GREETING" "Hej" "DYNO" "web.2" "HEROKU_RELEASE_VERSION" "v7"})))
  (is (= "Hello from Clojure\ndyno none\n" (core/greeting {}))))

;; Prints the classpath of a tool that deps.edn has as an alias (clojure -T:ALIAS): tool.clj REPOSITORY ALIAS
(require '[clojure.tools.deps :as deps])

(let [[repository alias] *command-line-args*
      alias (keyword alias)
      edn (-> (deps/slurp-deps (java.io.File. "deps.edn")) (assoc :mvn/local-repo repository))
      tool (get-in edn [:aliases alias])
      _ (when-not tool (binding [*out* *err*] (println "deps.edn: has no alias" alias)) (System/exit 1))
      ;; A tool stands beside the app, not on its classpath.
      basis (deps/create-basis {:user nil
                                :project {:mvn/local-repo repository
                                          :mvn/repos (:mvn/repos edn)
                                          :deps (merge (:deps tool) (:replace-deps tool))
                                          :paths (or (:paths tool) ["."])}})]
  (println (deps/join-classpath (:classpath-roots basis))))
(shutdown-agents)

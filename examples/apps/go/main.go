// A small web app: greets, says which dyno of which release answered, and asks its database.
package main

import (
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"
	_ "github.com/lib/pq"
)

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func greet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s from Go\n", or(os.Getenv("GREETING"), "Hello"))
	release := os.Getenv("HEROKU_RELEASE_VERSION") // of those apps that have dyno metadata
	if release != "" {
		release = ", release " + release
	}
	fmt.Fprintf(w, "dyno %s%s\n", or(os.Getenv("DYNO"), "none"), release)
}

func database(w http.ResponseWriter, r *http.Request) {
	var sum int
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err == nil {
		defer db.Close()
		err = db.QueryRowContext(r.Context(), "SELECT 40 + 2").Scan(&sum)
	}
	if err != nil {
		log.Print(err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "the database says %d\n", sum)
}

func routes() http.Handler {
	router := chi.NewRouter()
	router.Get("/", greet)
	router.Get("/database", database)
	return router
}

func main() {
	log.Fatal(http.ListenAndServe(":"+or(os.Getenv("PORT"), "5000"), routes()))
}

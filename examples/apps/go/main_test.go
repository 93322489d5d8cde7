package main

import (
	"net/http/httptest"
	"testing"
)

func get(path string) (int, string) {
	recorder := httptest.NewRecorder()
	routes().ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
	return recorder.Code, recorder.Body.String()
}

func TestItGreetsWithItsConfigVar(t *testing.T) {
	t.Setenv("GREETING", "Hej")
	t.Setenv("DYNO", "web.2")
	t.Setenv("HEROKU_RELEASE_VERSION", "v7")
	if code, body := get("/"); code != 200 || body != "Hej from Go\ndyno web.2, release v7\n" {
		t.Fatal(code, body)
	}
	t.Setenv("HEROKU_RELEASE_VERSION", "")
	if _, body := get("/"); body != "Hej from Go\ndyno web.2\n" {
		t.Fatal(body)
	}
}

func TestItSaysWhenItsDatabaseIsGone(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://127.0.0.1:1/none?sslmode=disable")
	if code, body := get("/database"); code != 503 || body != "the database does not answer\n" {
		t.Fatal(code, body)
	}
}

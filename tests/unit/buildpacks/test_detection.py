"""Which buildpack knows which app, and what it starts by default."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.buildpacks.conftest import ROOT

JAR = "$(ls build/libs/*.jar | grep -v -- -plain.jar | head -n 1)"


def run(language: str, step: str, app: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(text)
    return subprocess.run([ROOT / f"buildpacks/{language}/bin/{step}", app], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("language", "file", "name"),
    [
        ("ruby", "Gemfile", "Ruby"),
        ("nodejs", "package.json", "Node.js"),
        ("clojure", "project.clj", "Clojure (Leiningen)"),
        ("clojure", "deps.edn", "Clojure"),
        ("python", "requirements.txt", "Python"),
        ("python", "Pipfile", "Python"),
        ("python", "poetry.lock", "Python"),
        ("python", "uv.lock", "Python"),
        ("java", "pom.xml", "Java"),
        ("java", "build.gradle.kts", "Gradle"),
        ("scala", "build.sbt", "Scala"),
        ("scala", "project/build.properties", "Scala"),
        ("php", "composer.json", "PHP"),
        ("php", "index.php", "PHP"),
        ("go", "go.mod", "Go"),
        ("static", "static.json", "Static"),
        ("static", "index.html", "Static"),
    ],
)
def test_an_app_is_known_by_its_files(tmp_path: Path, language: str, file: str, name: str) -> None:
    assert run(language, "detect", tmp_path, {}).returncode == 1
    done = run(language, "detect", tmp_path, {file: ""})
    assert (done.returncode, done.stdout) == (0, f"{name}\n")


@pytest.mark.parametrize(
    ("language", "files", "types"),
    [
        (
            "ruby",
            {"config.ru": "", "Rakefile": ""},
            {
                "web": "bundle exec rackup config.ru -o 0.0.0.0 -p ${PORT:-5000}",
                "console": "bundle exec irb",
                "rake": "bundle exec rake",
            },
        ),
        (
            "ruby",
            {"config.ru": "", "bin/rails": ""},
            {
                "web": "bin/rails server -b 0.0.0.0 -p ${PORT:-5000} -e $RAILS_ENV",
                "console": "bin/rails console",
                "worker": "bundle exec rake jobs:work",
            },
        ),
        ("ruby", {"Gemfile": ""}, {"console": "bundle exec irb"}),
        ("java", {"pom.xml": "<x/>"}, {}),
        (
            "java",
            {"pom.xml": "spring-boot"},
            {"web": "java $JAVA_OPTS -Dserver.port=$PORT -jar target/*.jar"},
        ),
        (
            "java",
            {"build.gradle": "id 'org.springframework.boot'"},
            {"web": f"java $JAVA_OPTS -Dserver.port=$PORT -jar {JAR}"},
        ),
        ("clojure", {"project.clj": ""}, {"web": "lein with-profile production trampoline run"}),
        (
            "clojure",
            {"project.clj": ":uberjar-name", "target/uberjar/a-standalone.jar": "", "target/a.jar": ""},
            {"web": "java $JAVA_OPTS -jar target/uberjar/a-standalone.jar"},
        ),
        ("clojure", {"deps.edn": "", "target/a.jar": ""}, {"web": "java $JAVA_OPTS -jar target/a.jar"}),
        (
            "scala",
            {"target/universal/stage/bin/a": "", "target/universal/stage/bin/a.bat": ""},
            {"web": "target/universal/stage/bin/a"},
        ),
        (
            "scala",
            {"target/universal/stage/bin/a": "", "target/universal/stage/conf/application.conf": ""},
            {"web": "target/universal/stage/bin/a -Dhttp.port=$PORT"},
        ),
        ("php", {}, {"web": "heroku-php-apache2"}),
        ("go", {".heroku/go-web": "hello\n"}, {"web": "bin/hello"}),
        ("go", {}, {}),
        ("static", {}, {"web": "serve-static"}),
    ],
)
def test_an_app_without_a_procfile_starts_as_on_heroku(
    tmp_path: Path, language: str, files: dict[str, str], types: dict[str, str]
) -> None:
    done = run(language, "release", tmp_path, files)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout) == {"default_process_types": types}

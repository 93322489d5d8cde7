/** The app's own tests: sbt test */
class HelloTest extends munit.FunSuite {
  test("it greets with its config var") {
    val environment = Map("GREETING" -> "Hej", "DYNO" -> "web.2", "HEROKU_RELEASE_VERSION" -> "v7")
    assertEquals(Hello.greeting(environment), "Hej from Scala\ndyno web.2, release v7\n")
  }

  test("it does not speak of a release that it does not know") {
    assertEquals(Hello.greeting(Map.empty), "Hello from Scala\ndyno none\n")
  }
}

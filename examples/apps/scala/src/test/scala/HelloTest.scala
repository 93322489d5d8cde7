/** The app's own tests: sbt "Test / runMain HelloTest" */
object HelloTest {
  def main(arguments: Array[String]): Unit = {
    val environment = Map("GREETING" -> "Hej", "DYNO" -> "web.2", "HEROKU_RELEASE_VERSION" -> "v7")
    check(Hello.greeting(environment), "Hej from Scala\ndyno web.2, release v7\n")
    check(Hello.greeting(Map.empty), "Hello from Scala\ndyno none\n")
    println("passed")
  }

  private def check(found: String, expected: String): Unit =
    if (found != expected) throw new AssertionError(s"found $found, expected $expected")
}

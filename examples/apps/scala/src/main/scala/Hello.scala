import java.sql.{DriverManager, SQLException}

/** A small web app: greets, says which dyno of which release answered, and asks its database. */
object Hello extends cask.MainRoutes {
  override def host = "0.0.0.0"
  override def port: Int = sys.env.getOrElse("PORT", "5000").toInt

  def greeting(environment: Map[String, String]): String = {
    // The release, of those apps that have dyno metadata.
    val release = environment.get("HEROKU_RELEASE_VERSION").fold("")(", release " + _)
    s"${environment.getOrElse("GREETING", "Hello")} from Scala\ndyno ${environment.getOrElse("DYNO", "none")}$release\n"
  }

  @cask.get("/")
  def greet(): String = greeting(sys.env)

  @cask.get("/database")
  def database(): cask.Response[String] =
    try {
      val connection = DriverManager.getConnection(sys.env.getOrElse("JDBC_DATABASE_URL", "jdbc:none"))
      try {
        val rows = connection.createStatement().executeQuery("SELECT 40 + 2")
        rows.next()
        cask.Response(s"the database says ${rows.getInt(1)}\n")
      } finally connection.close()
    } catch {
      case error: SQLException =>
        System.err.println(error.getMessage)
        cask.Response("the database does not answer\n", 503)
    }

  initialize()
}

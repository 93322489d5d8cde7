name := "hello"
version := "1.0"
scalaVersion := "2.13.16"
enablePlugins(JavaAppPackaging)
libraryDependencies ++= Seq(
  "com.lihaoyi" %% "cask" % "0.9.1",
  "org.postgresql" % "postgresql" % "42.7.7",
  "org.scalameta" %% "munit" % "1.1.0" % Test
)
// No documentation of its own code has to be in a slug.
Compile / packageDoc / mappings := Nil

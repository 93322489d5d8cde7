package com.example;

import io.javalin.Javalin;
import io.javalin.http.Context;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Map;

/** A small web app: greets, says which dyno of which release answered, and asks its database. */
public class Hello {
    static String greeting(Map<String, String> environment) {
        var release = environment.get("HEROKU_RELEASE_VERSION"); // of those apps that have dyno metadata
        return environment.getOrDefault("GREETING", "Hello") + " from Java\n"
            + "dyno " + environment.getOrDefault("DYNO", "none") + (release == null ? "" : ", release " + release) + "\n";
    }

    static void database(Context context) {
        try (var connection = DriverManager.getConnection(System.getenv().getOrDefault("JDBC_DATABASE_URL", "jdbc:none"));
             var rows = connection.createStatement().executeQuery("SELECT 40 + 2")) {
            rows.next();
            context.result("the database says " + rows.getInt(1) + "\n");
        } catch (SQLException error) {
            System.err.println(error.getMessage());
            context.status(503).result("the database does not answer\n");
        }
    }

    public static void main(String[] arguments) {
        Javalin.create(config -> config.showJavalinBanner = false)
            .get("/", context -> context.result(greeting(System.getenv())))
            .get("/database", Hello::database)
            .start(Integer.parseInt(System.getenv().getOrDefault("PORT", "5000")));
    }
}

package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import org.junit.jupiter.api.Test;

class HelloTest {
    @Test
    void itGreetsWithItsConfigVar() {
        var environment = Map.of("GREETING", "Hej", "DYNO", "web.2", "HEROKU_RELEASE_VERSION", "v7");
        assertEquals("Hej from Java\ndyno web.2, release v7\n", Hello.greeting(environment));
        assertEquals("Hello from Java\ndyno none\n", Hello.greeting(Map.of()));
    }
}

<?php

namespace Example;

/** Greets, and says which dyno of which release answered. */
final class Greeting
{
    /** @param array<string, string> $environment */
    public static function text(array $environment): string
    {
        $greeting = $environment['GREETING'] ?? 'Hello';
        $dyno = $environment['DYNO'] ?? 'none';
        $release = $environment['HEROKU_RELEASE_VERSION'] ?? null; // of those apps that have dyno metadata
        return "$greeting from PHP\ndyno $dyno" . ($release === null ? '' : ", release $release") . "\n";
    }
}

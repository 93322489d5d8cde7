<?php

// The app's own tests: php test.php
use Slim\App;
use Slim\Http\Environment;
use Slim\Http\Request;
use Slim\Http\Response;

/** @return array{int, string} what the app answers: status and body */
function get(App $app, string $path): array
{
    $request = Request::createFromEnvironment(Environment::mock(['REQUEST_URI' => $path]));
    $response = $app->process($request, new Response());
    return [$response->getStatusCode(), (string) $response->getBody()];
}

function check(mixed $found, mixed $expected): void
{
    if ($found !== $expected) {
        fwrite(STDERR, 'found ' . json_encode($found) . ', expected ' . json_encode($expected) . PHP_EOL);
        exit(1);
    }
}

$app = require __DIR__ . '/app.php';
foreach (['GREETING' => 'Hej', 'DYNO' => 'web.2', 'HEROKU_RELEASE_VERSION' => 'v7'] as $name => $value) {
    putenv("$name=$value");
}
check(get($app, '/'), [200, "Hej from PHP\ndyno web.2, release v7\n"]);
check(Example\Greeting::text([]), "Hello from PHP\ndyno none\n");
putenv('DATABASE_URL=postgres://nobody@127.0.0.1:1/none');
check(get($app, '/database'), [503, "the database does not answer\n"]);
check(get($app, '/nothing'), [404, "not found\n"]);
echo 'passed' . PHP_EOL;

<?php

// A small web app: greets, says which dyno of which release answered, and asks its database.
use Slim\App;
use Slim\Http\Request;
use Slim\Http\Response;

error_reporting(E_ALL & ~E_DEPRECATED); // Slim 3 is older than this PHP
require_once __DIR__ . '/vendor/autoload.php';
if (!class_exists(App::class)) {
    require_once 'Slim/autoload.php';
}

function database(): string
{
    $url = parse_url(getenv('DATABASE_URL') ?: 'postgres://localhost/none');
    $source = sprintf('pgsql:host=%s;port=%d;dbname=%s', $url['host'], $url['port'] ?? 5432, ltrim($url['path'], '/'));
    $pdo = new PDO($source, rawurldecode($url['user'] ?? ''), rawurldecode($url['pass'] ?? ''));
    return 'the database says ' . $pdo->query('SELECT 40 + 2')->fetchColumn() . "\n";
}

function text(Response $response, string $body, int $status = 200): Response
{
    return $response->withStatus($status)->withHeader('Content-Type', 'text/plain')->write($body);
}

$app = new App();
$app->get('/', fn (Request $request, Response $response) => text($response, Example\Greeting::text(getenv())));
$app->get('/database', function (Request $request, Response $response) {
    try {
        return text($response, database());
    } catch (PDOException $error) {
        error_log($error->getMessage());
        return text($response, "the database does not answer\n", 503);
    }
});
$app->getContainer()['notFoundHandler'] = fn () => fn ($request, $response) => text($response, "not found\n", 404);

return $app;

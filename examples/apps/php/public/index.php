<?php

// A small web app: greets, says which dyno of which release answered, and asks its database.
require __DIR__ . '/../vendor/autoload.php';

function database(): string
{
    $url = parse_url(getenv('DATABASE_URL') ?: 'postgres://localhost/none');
    $source = sprintf('pgsql:host=%s;port=%d;dbname=%s', $url['host'], $url['port'] ?? 5432, ltrim($url['path'], '/'));
    try {
        $pdo = new PDO($source, rawurldecode($url['user'] ?? ''), rawurldecode($url['pass'] ?? ''));
        return 'the database says ' . $pdo->query('SELECT 40 + 2')->fetchColumn() . "\n";
    } catch (PDOException $error) {
        error_log($error->getMessage());
        http_response_code(503);
        return "the database does not answer\n";
    }
}

header('Content-Type: text/plain');
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/':
        echo Example\Greeting::text(getenv());
        break;
    case '/database':
        echo database();
        break;
    default:
        http_response_code(404);
        echo "not found\n";
}

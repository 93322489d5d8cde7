<?php

// The app's own tests: php test.php
require __DIR__ . '/vendor/autoload.php';

$environment = ['GREETING' => 'Hej', 'DYNO' => 'web.2', 'HEROKU_RELEASE_VERSION' => 'v7'];
if (Example\Greeting::text($environment) !== "Hej from PHP\ndyno web.2, release v7\n") {
    exit('the greeting is wrong' . PHP_EOL);
}
if (Example\Greeting::text([]) !== "Hello from PHP\ndyno none\n") {
    exit('the greeting without config vars is wrong' . PHP_EOL);
}
echo 'passed' . PHP_EOL;

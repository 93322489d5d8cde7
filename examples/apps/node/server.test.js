// The app's own tests: node --test
'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const { create } = require('./server');

async function get(path, environment) {
  const server = create(environment).listen(0, '127.0.0.1');
  try {
    await new Promise((resolve) => server.once('listening', resolve));
    const answer = await fetch(`http://127.0.0.1:${server.address().port}${path}`);
    return [answer.status, await answer.text()];
  } finally {
    server.close();
  }
}

test('it greets with its config var', async () => {
  const environment = { GREETING: 'Hej', DYNO: 'web.2', HEROKU_RELEASE_VERSION: 'v7' };
  assert.deepStrictEqual(await get('/', environment), [200, 'Hej from Node.js\ndyno web.2, release v7\n']);
});

test('it does not speak of a release that it does not know', async () => {
  assert.deepStrictEqual(await get('/', { DYNO: 'web.2' }), [200, 'Hello from Node.js\ndyno web.2\n']);
});

test('it has the assets that the build has made', async () => {
  assert.deepStrictEqual(await get('/style.css', {}), [200, 'body{color:#223344;font-family:sans-serif;}\n']);
});

test('it says when its database is gone', async () => {
  const environment = { DATABASE_URL: 'postgres://127.0.0.1:1/none' };
  assert.deepStrictEqual(await get('/database', environment), [503, 'the database does not answer\n']);
});

test('it says that it is up', async () => {
  assert.deepStrictEqual(await get('/health', {}), [200, 'ok\n']);
});

// A small web app: greets, says which dyno of which release answered, and asks its database.
'use strict';

const path = require('node:path');
const express = require('express');

function whereabouts(environment) {
  const release = environment.HEROKU_RELEASE_VERSION; // of those apps that have dyno metadata
  return `dyno ${environment.DYNO ?? 'none'}${release ? `, release ${release}` : ''}`;
}

async function ask(url) {
  const { Client } = require('pg'); // an app without a database does not keep the driver in memory
  // Databases of the platform speak TLS, with a certificate of its own authority.
  const ssl = /[?&]sslmode=disable/.test(url) ? false : { rejectUnauthorized: false };
  const client = new Client({ connectionString: url, ssl, connectionTimeoutMillis: 5000 });
  await client.connect();
  try {
    return (await client.query('SELECT 40 + 2 AS sum')).rows[0].sum;
  } finally {
    await client.end();
  }
}

function create(environment) {
  const app = express();
  app.disable('x-powered-by');
  app.use(express.static(path.join(__dirname, 'public')));
  app.get('/', (request, response) => {
    response.type('text/plain').send(`${environment.GREETING ?? 'Hello'} from Node.js\n${whereabouts(environment)}\n`);
  });
  app.get('/health', (request, response) => response.type('text/plain').send('ok\n'));
  app.get('/database', async (request, response) => {
    response.type('text/plain');
    try {
      response.send(`the database says ${await ask(environment.DATABASE_URL)}\n`);
    } catch (error) {
      console.error(error.message);
      response.status(503).send('the database does not answer\n');
    }
  });
  return app;
}

if (require.main === module) {
  const server = create(process.env).listen(process.env.PORT ?? 5000, '0.0.0.0');
  // Finish the requests at hand, then leave.
  process.on('SIGTERM', () => server.close(() => process.exit(0)));
}

module.exports = { create };

// A small web app: greets, and says which dyno of which release answered.
'use strict';

const express = require('express');

function whereabouts(environment) {
  return `dyno ${environment.DYNO ?? 'none'}, release ${environment.HEROKU_RELEASE_VERSION ?? 'unknown'}`;
}

function create(environment) {
  const app = express();
  app.disable('x-powered-by');
  app.get('/', (request, response) => {
    response.type('text/plain').send(`${environment.GREETING ?? 'Hello'} from Node.js\n${whereabouts(environment)}\n`);
  });
  app.get('/health', (request, response) => response.type('text/plain').send('ok\n'));
  return app;
}

if (require.main === module) {
  const server = create(process.env).listen(process.env.PORT ?? 5000, '0.0.0.0');
  // Finish the requests at hand, then leave.
  process.on('SIGTERM', () => server.close(() => process.exit(0)));
}

module.exports = { create };

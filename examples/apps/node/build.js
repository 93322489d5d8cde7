// The asset step: assets/ becomes public/, without comments and the room between words. Run by npm run build.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

fs.mkdirSync(path.join(__dirname, 'public'), { recursive: true });
for (const name of fs.readdirSync(path.join(__dirname, 'assets'))) {
  const text = fs.readFileSync(path.join(__dirname, 'assets', name), 'utf8');
  const small = text.replace(/\/\*.*?\*\//gs, '').replace(/\s+/g, ' ').replace(/ ?([{};:]) ?/g, '$1').trim();
  fs.writeFileSync(path.join(__dirname, 'public', name), `${small}\n`);
  console.log(`${name}: ${text.length} characters, now ${small.length + 1}`);
}

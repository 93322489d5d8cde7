// All that compile wants to know of package.json, in one start of Node.js: lines of NAME=VALUE.
'use strict';

const fs = require('fs');
const path = require('path');

const npm = path.dirname(path.dirname(fs.realpathSync(process.argv[2])));
const semver = require(path.join(npm, 'node_modules/semver'));
const manifest = JSON.parse(fs.readFileSync('package.json', 'utf8'));
const lock = fs.existsSync('package-lock.json') ? JSON.parse(fs.readFileSync('package-lock.json', 'utf8')) : {};
const scripts = manifest.scripts ?? {};
const locked = Object.entries(lock.packages ?? {}).filter(([place]) => place !== '');
const isOutside = ([, item]) => item.link || /^(file:|git)/.test(item.resolved ?? '');
const wanted = String(manifest.engines?.node ?? '').replace(/\s+/g, ' ');

const facts = {
  available: process.versions.node,
  wanted,
  satisfied: wanted === '' || semver.satisfies(process.versions.node, wanted),
  prebuild: ['heroku-prebuild'].find((name) => scripts[name]) ?? '',
  postbuild: ['heroku-postbuild', 'build'].find((name) => scripts[name]) ?? '',
  // Dependencies follow from the two files alone, unless the app's own scripts or folders take part in the installation.
  reproducible:
    locked.length > 0 &&
    !['preinstall', 'install', 'postinstall', 'prepare'].some((name) => scripts[name]) &&
    !locked.some(isOutside),
  prunable: locked.length === 0 || locked.some(([, item]) => item.dev || item.devOptional),
};
for (const [name, value] of Object.entries(facts)) console.log(`${name}=${value}`);

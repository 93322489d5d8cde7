// All that compile wants to know of the app's files, in one start of Node.js: lines of NAME=VALUE.
'use strict';

const fs = require('fs');
const path = require('path');

const npm = path.dirname(path.dirname(fs.realpathSync(process.argv[2])));
const semver = require(path.join(npm, 'node_modules/semver'));
const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '');
const manifest = JSON.parse(read('package.json'));
const npmLock = JSON.parse(read('package-lock.json') || read('npm-shrinkwrap.json') || '{}');
const scripts = manifest.scripts ?? {};
const engines = manifest.engines ?? {};
const lockFiles = ['package-lock.json', 'npm-shrinkwrap.json', 'yarn.lock', 'pnpm-lock.yaml'].filter((name) => fs.existsSync(name));
const oneLine = (text) => String(text ?? '').replace(/\s+/g, ' ').trim();

// "pnpm@9.1.0+sha512.…": name and version.
const [, named, pinned] = /^(npm|yarn|pnpm)@(\d[^+\s]*)/.exec(manifest.packageManager ?? '') ?? [];

function manager() {
  if (fs.existsSync('pnpm-lock.yaml')) return 'pnpm';
  if (fs.existsSync('yarn.lock')) return 'yarn';
  return lockFiles.length === 0 && named ? named : 'npm';
}

// Which version of the package manager: what the app pins, or what its lock file was made by.
function managerVersion(name) {
  if (named === name && pinned) return pinned;
  if (engines[name]) return oneLine(engines[name]);
  if (name === 'yarn') return /^__metadata:/m.test(read('yarn.lock')) || fs.existsSync('.yarnrc.yml') ? '4' : '1';
  if (name === 'pnpm') {
    const format = parseFloat((/^lockfileVersion: *'?([\d.]+)/m.exec(read('pnpm-lock.yaml')) ?? [])[1] ?? '9');
    return format < 6 ? '7' : format < 9 ? '8' : '10';
  }
  return '';
}

function wantedNode() {
  if (engines.node) return ['engines.node', oneLine(engines.node)];
  for (const file of ['.node-version', '.nvmrc']) {
    const text = oneLine(read(file).split('\n')[0]);
    // Names of lines of releases ("lts/iron") are for the tools that know them.
    if (/^v?\d[\d.x*]*$/.test(text)) return [file, text.replace(/^v/, '')];
  }
  return ['', ''];
}

// Dependencies follow from these files alone, unless the app's own scripts or folders take part in the installation.
function isReproducible(name) {
  if (lockFiles.length !== 1 || manifest.workspaces || fs.existsSync('pnpm-workspace.yaml')) return false;
  if (['preinstall', 'install', 'postinstall', 'prepare'].some((script) => scripts[script])) return false;
  if (name === 'npm') {
    const locked = Object.entries(npmLock.packages ?? {}).filter(([place]) => place !== '');
    return locked.length > 0 && !locked.some(([, item]) => item.link || /^(file:|git)/.test(item.resolved ?? ''));
  }
  if (fs.existsSync('.yarnrc.yml') || manifest.patchedDependencies || manifest.pnpm?.patchedDependencies) return false;
  return !/(@|["': ])(file|link|portal|git\+\w+|git):|codeload|type: directory/.test(read(lockFiles[0]));
}

const [origin, wanted] = wantedNode();
const name = manager();
const locked = Object.entries(npmLock.packages ?? {}).filter(([place]) => place !== '');
const facts = {
  available: process.versions.node,
  origin,
  wanted,
  satisfied: wanted === '' || semver.satisfies(process.versions.node, wanted),
  npmWanted: oneLine(engines.npm ?? (named === 'npm' ? pinned : '')),
  locks: lockFiles.length > 1 ? lockFiles.join(' and ') : '',
  manager: name,
  managerVersion: managerVersion(name),
  yarnPath: oneLine((/^yarnPath: *["']?([^"'\s]+)/m.exec(read('.yarnrc.yml')) ?? [])[1]),
  nodeLinker: oneLine((/^nodeLinker: *["']?([\w-]+)/m.exec(read('.yarnrc.yml')) ?? [])[1]),
  prebuild: ['heroku-prebuild'].find((script) => scripts[script]) ?? '',
  postbuild: ['heroku-postbuild', 'build'].find((script) => scripts[script]) ?? '',
  cleanup: ['heroku-cleanup'].find((script) => scripts[script]) ?? '',
  lock: lockFiles[0] ?? '',
  reproducible: isReproducible(name),
  prunable: name !== 'npm' || locked.length === 0 || locked.some(([, item]) => item.dev || item.devOptional),
};
for (const [key, value] of Object.entries(facts)) console.log(`${key}=${value}`);

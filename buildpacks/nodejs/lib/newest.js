// The newest of the versions on standard input (npm's JSON) that a range allows: newest.js NPM RANGE. Prints it, or the newest of
// each line of releases on one line, and fails.
'use strict';

const fs = require('fs');
const path = require('path');

const npm = path.dirname(path.dirname(fs.realpathSync(process.argv[2])));
const semver = require(path.join(npm, 'node_modules/semver'));
const versions = [JSON.parse(fs.readFileSync(0, 'utf8'))].flat();
const found = semver.maxSatisfying(versions, process.argv[3]);
if (found) {
  console.log(found);
} else {
  const newest = {};
  for (const version of semver.sort(versions)) if (!semver.prerelease(version)) newest[semver.major(version)] = version;
  console.log(Object.values(newest).slice(-8).reverse().join(', '));
  process.exitCode = 1;
}

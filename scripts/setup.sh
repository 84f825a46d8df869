#!/bin/sh
# Makes a fresh clone ready: installs the packages when they are missing or older than the lock file, and sees that the Node.js
# in use is new enough. The package `node` (a development dependency) brings one, so any Node with npm starts it.
set -eu
cd "$(dirname "$0")/.."
installed=node_modules/.package-lock.json

if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
  echo "setup: installing the packages of package-lock.json ..."
  npm ci --no-progress --no-fund --no-audit --loglevel=error >&2
  touch "$installed"
fi

# npm may be set to skip the install scripts of dependencies; this one fetches the Node.js that the rest runs on.
[ -x node_modules/.bin/node ] || npm rebuild node --no-progress --loglevel=error --ignore-scripts=false >&2

PATH="$PWD/node_modules/.bin:$PATH"
version=$(node -p 'process.versions.node')
if [ "${version%%.*}" -lt 24 ]; then
  echo "setup: Node.js 24 or later is needed, this is $version. Run 'npm ci' here, or install a newer Node.js." >&2
  exit 1
fi

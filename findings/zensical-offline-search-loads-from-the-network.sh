#!/usr/bin/env bash
# Zensical: a site built for offline use asks a server for the script its search needs.
# A good guess: with the offline plugin the folder is all there is, as it says that search works from the file system. Every
# page loads iframe-worker's shim from unpkg.com; without a network a page opened from the folder answers every search with
# "Search is unavailable" (seen in Chromium 156), and with one it tells that server of each visit. Nothing is said, strict or not.
# What helps: npm pack iframe-worker, put shim/index.js into the site, and replace the address in the pages.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check zensical==0.0.73
mkdir "$work/docs" && cd "$work"
printf '# One page\n\nWith a word to find.\n' > docs/index.md
printf '[project]\nsite_name = "offline"\nuse_directory_urls = false\ntheme.font = false\n[project.plugins.offline]\n' > zensical.toml
venv/bin/zensical build --strict
echo "zensical 0.0.73; loaded from elsewhere by site/index.html:"
grep -oE '<script[^>]*src="https?://[^"]*"' site/index.html || true
grep -q '<script src="https://unpkg.com/iframe-worker/shim"' site/index.html || { echo "changed: the shim is not asked for any more"; exit 1; }

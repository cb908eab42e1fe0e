// Runs the browser's tests: node run.mjs FOLDER TEST…, with packages and screenshots in FOLDER.
// Exit status 77 (skipped, with a line that says why) where there is no browser or no registry to install from.
import { existsSync, mkdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const PACKAGE = 'playwright-core@1.55.0';  // one that runs on node 18, which Debian 12 has
const [folder, ...tests] = process.argv.slice(2).map((name) => path.resolve(name));
const chromium = process.env.TERN_CHROMIUM ?? '/usr/bin/chromium';

function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

if (!existsSync(chromium)) skip(`no browser at ${chromium} (Debian's package chromium; TERN_CHROMIUM names another)`);
mkdirSync(folder, { recursive: true });
if (!existsSync(path.join(folder, 'node_modules', 'playwright-core'))) {
  const npm = spawnSync('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error', PACKAGE],
    { encoding: 'utf8', timeout: 120_000, env: { ...process.env, PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: '1' } });
  if (npm.status !== 0) skip(`npm could not install ${PACKAGE}: ${(npm.error?.message ?? npm.stderr ?? '').trim().split('\n')[0]}`);
}
const run = spawnSync(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...tests],
  { stdio: 'inherit', env: { ...process.env, TERN_WEB_FOLDER: folder, TERN_CHROMIUM: chromium } });
process.exit(run.status ?? 1);

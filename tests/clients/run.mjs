// Runs tests with npm's packages: node run.mjs FOLDER TEST…, the packages in FOLDER.
// Exit status 77 (skipped, with a line that says why) where there is no registry to install from.
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const PACKAGE = 'openai@6';
const [folder, ...tests] = process.argv.slice(2).map((name) => path.resolve(name));

mkdirSync(folder, { recursive: true });
if (!existsSync(path.join(folder, 'node_modules', 'openai'))) {
  const npm = spawnSync('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error', PACKAGE],
    { encoding: 'utf8', timeout: 120_000 });
  if (npm.status !== 0) {
    console.log(`skipped: npm could not install ${PACKAGE}: ${(npm.error?.message ?? npm.stderr ?? '').trim().split('\n')[0]}`);
    process.exit(77);
  }
}
// Modules are looked for beside the file that wants them, and nothing is installed into the source tree.
const copies = tests.map((test) => {
  const copy = path.join(folder, path.basename(test));
  cpSync(test, copy);
  return copy;
});
const run = spawnSync(process.execPath, ['--test', '--test-reporter=spec', ...copies], { stdio: 'inherit' });
process.exit(run.status ?? 1);

// The real service as a process of its own, with kept states in a folder that goes away with it.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Starts `tern serve` (TERN_PROGRAM) with the bundled model; resolves to {url, stop} once it takes requests. */
export function startServer() {
  const states = mkdtempSync(path.join(os.tmpdir(), 'tern-web-'));
  const server = spawn(process.env.TERN_PROGRAM, ['serve', '--port', '0', '--states', states], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = async () => {
    if (server.exitCode === null) {
      server.removeAllListeners('exit');
      const ended = new Promise((resolve) => { server.on('exit', resolve); });
      server.kill('SIGTERM');
      await ended;
    }
    rmSync(states, { recursive: true, force: true });
  };
  return new Promise((resolve, reject) => {
    let said = '';
    const read = (chunk) => {
      said += chunk;
      const address = /https?:\/\/[\w.[\]:]+:\d+/.exec(said);
      if (address) resolve({ url: address[0], stop });
    };
    server.stdout.on('data', read);
    server.stderr.on('data', read);
    server.on('exit', (code) => reject(new Error(`tern serve ended with ${code}: ${said}`)));
  });
}

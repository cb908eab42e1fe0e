// Makes the pictures of docs/ from the real service and the bundled model. From the root of the source:
//   TERN_PROGRAM=build/release/src/tern node tests/web/run.mjs build/release/tests/web tests/web/screenshots.mjs
// TERN_SCREENSHOTS names another folder for them. Speeds in the pictures are those of the machine at hand.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

import { answered, eventually, launch, say, visit } from './browser.mjs';
import { startServer } from './server.mjs';

const folder = process.env.TERN_SCREENSHOTS ?? fileURLToPath(new URL('../../docs', import.meta.url));
const picture = (page, name) => page.screenshot({ path: path.join(folder, `${name}.png`), animations: 'disabled' });

async function open(t) {
  const { url, stop } = await startServer();
  t.after(stop);
  const browser = await launch();
  t.after(() => browser.close());
  return { url, browser };
}

const set = (page, view, settings) => page.evaluate(([key, value]) => localStorage.setItem(key, JSON.stringify(value)),
  [`tern.settings.${view}`, settings]);

// A story's beginning and no template: the bundled model writes stories and answers no questions.
test('the chat', async (t) => {
  const { url, browser } = await open(t);
  const page = await visit(t, browser, url);
  await set(page, 'chat', { maxTokens: 60, seed: 3, template: 'none' });
  await say(page, 'Once upon a time, a little bird lived by the sea.');
  await answered(page);
  await say(page, 'One day she met a big whale.');
  await answered(page);
  await page.locator('.turn.assistant').last().getByRole('button', { name: 'Answer again' }).click();
  await answered(page);
  const last = page.locator('.turn.assistant').last();
  await eventually(async () => assert.equal(await last.locator('.switcher span').textContent(), '2 / 2'));
  await eventually(async () => assert.match(await last.locator('.facts').textContent(), /resumed \d+ of \d+ tokens/));
  await eventually(async () => assert.equal(await page.locator('.error-line').count(), 0));
  await picture(page, 'web-chat');
});

test('the playground', async (t) => {
  const { url, browser } = await open(t);
  const page = await visit(t, browser, `${url}/#/playground`);
  await set(page, 'playground', { maxTokens: 48, seed: 1 });
  await page.fill('#sheet', 'Once upon a time there was a little bird who lived by the sea.');
  await page.click('#continue');
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  await page.locator('.token').nth(10).click();
  await eventually(async () => assert.ok(await page.locator('.alternative').count() >= 3));
  await picture(page, 'web-playground');
});

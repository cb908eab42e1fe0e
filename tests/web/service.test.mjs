// The page on the real service: what the other tests know of its interface, it does.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';

import { answered, choose, eventually, lastAnswer, launch, say, shot, visit } from './browser.mjs';
import { startServer } from './server.mjs';

let browser;
let server;
let url;

before(async () => {
  server = await startServer();
  url = server.url;
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// A seed, and no template: whether a small model answers a question at all is not the page's affair.
async function limitTo(page, maxTokens) {
  const settings = { maxTokens, seed: 1, template: 'none' };
  await page.evaluate((value) => localStorage.setItem('tern.settings.chat', JSON.stringify(value)), settings);
}

test('what a first visit loads is less than 200 KB', async (t) => {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  let bytes = 0;
  session.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength; });
  await page.goto(url, { waitUntil: 'networkidle' });
  t.diagnostic(`${bytes} bytes`);
  await page.locator('.welcome h2').waitFor();
  assert.ok(bytes > 10_000 && bytes < 200_000, `${bytes}`);
});

test('a conversation streams, is stopped, branches and resumes', async (t) => {
  const page = await visit(t, browser, url);
  await limitTo(page, 24);
  await page.locator('.suggestions button').first().click();
  await answered(page);
  await eventually(async () => assert.ok((await lastAnswer(page).textContent()).trim().length > 10));
  await eventually(async () => assert.match(await page.locator('.turn.assistant .facts').textContent(), /\d+ tokens/));
  await say(page, 'Then she saw a ship.');
  await answered(page);
  await eventually(async () => assert.match(await page.locator('.turn.assistant').last().locator('.facts').textContent(), /resumed \d+ of \d+ tokens/));
  await page.locator('.turn.assistant').last().getByRole('button', { name: 'Answer again' }).click();
  await answered(page);
  await eventually(async () => assert.equal(await page.locator('.turn.assistant').last().locator('.switcher span').textContent(), '2 / 2'));
  await eventually(async () => assert.equal(await page.locator('.error-line').count(), 0));
  await shot(page, 'service-chat');
  await limitTo(page, 20_000);
  await page.locator('.turn.assistant').last().getByRole('button', { name: 'Answer again' }).click();
  await page.waitForFunction(() => [...document.querySelectorAll('.turn.assistant .answer')].at(-1).textContent.length > 40);
  await page.keyboard.press('Escape');
  await answered(page);
});

test('the playground shows how probable its tokens are', async (t) => {
  const page = await visit(t, browser, `${url}/#/playground`);
  await page.evaluate(() => localStorage.setItem('tern.settings.playground', JSON.stringify({ maxTokens: 16 })));
  await page.fill('#sheet', 'Once upon a time there was a bird.');
  await page.click('#continue');
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  const count = await page.locator('.token').count();
  assert.ok(count >= 8 && count <= 16, `${count} tokens`);
  await page.locator('.token').nth(4).click();
  await eventually(async () => assert.ok(await page.locator('.alternative').count() >= 3));
  await page.locator('.alternative:not(.taken)').first().click();
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  await eventually(async () => assert.equal(await page.locator('.error-line').count(), 0));
});

test('models, metrics and kept states are shown', async (t) => {
  const page = await visit(t, browser, `${url}/#/models`);
  await page.locator('[data-model] .badge.on').first().waitFor();
  await eventually(async () => assert.match(await page.locator('[data-model]').first().textContent(), /RWKV-\d.*layers of/s));
  await shot(page, 'service-models');
  await page.keyboard.press('4');
  await page.waitForFunction(() => window.Chart && Chart.getChart(document.querySelector('canvas'))?.data.labels.length >= 2);
  await page.keyboard.press('1');
  await limitTo(page, 8);
  await say(page, 'The sea was calm.');
  await answered(page);
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Kept states' }).click();
  const rows = page.locator('[data-state]');
  await rows.first().waitFor();
  const before = await rows.count();
  await rows.first().getByRole('button', { name: 'Show the text' }).click();
  await eventually(async () => assert.match(await page.getByRole('dialog').textContent(), /The sea was calm/));
  await page.keyboard.press('Escape');
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Fork');
  await page.getByRole('dialog').getByRole('button', { name: 'Fork' }).click();
  await page.waitForFunction((count) => document.querySelectorAll('[data-state]').length === count + 1, before);
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Roll back');
  await page.getByRole('dialog').getByRole('textbox').fill('3');
  await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
  await page.waitForFunction((count) => document.querySelectorAll('[data-state]').length === count + 2, before);
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForFunction((count) => document.querySelectorAll('[data-state]').length === count + 1, before);
});

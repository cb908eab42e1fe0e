// Every function of the page, against a service whose answers are known.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { MockService } from './mock_server.mjs';
import { PHONE, answered, choose, eventually, lastAnswer, launch, say, shot, visit } from './browser.mjs';

const FIRST_PAINT_BYTES = 200_000;
let browser;
let service;
let url;
const asked = (where) => service.requests.filter((request) => request.path === where).map((request) => request.body);
const chats = () => asked('/v1/chat/completions');

before(async () => {
  browser = await launch();
  service = new MockService();
  url = await service.start();
});
after(async () => {
  await browser.close();
  await service.stop();
});

test('first paint takes less than 200 KB', async (t) => {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  let bytes = 0;
  session.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength; });
  await page.goto(url, { waitUntil: 'networkidle' });
  await page.locator('.welcome h2').waitFor();
  t.diagnostic(`${bytes} bytes over the wire until the page is at rest`);
  assert.ok(bytes > 10_000 && bytes < FIRST_PAINT_BYTES, `${bytes}`);
});

test('an answer streams as Markdown and cannot do harm', async (t) => {
  const page = await visit(t, browser, url, { hostile: true });
  await shot(page, 'welcome');
  await say(page, 'Show me markdown');
  await answered(page);
  const answer = lastAnswer(page);
  await eventually(async () => assert.equal(await answer.locator('strong').textContent(), 'plan'));
  await eventually(async () => assert.equal(await answer.locator('td').first().textContent(), 'Arctic tern'));
  await eventually(async () => assert.equal(await answer.locator('ol li').count(), 2));
  await eventually(async () => assert.equal(await answer.locator('a', { hasText: 'a link' }).getAttribute('rel'), 'noopener noreferrer nofollow'));
  await answer.locator('.hljs-keyword').first().waitFor();
  for (const bad of ['script', 'img', 'iframe', 'form', 'style', 'button:not(.quiet)', '.toast', '[style]', '[href^=javascript]']) {
    await eventually(async () => assert.equal(await answer.locator(bad).count(), 0, bad));
  }
  await eventually(async () => assert.equal(await page.evaluate(() => window.attacked), undefined));
  await answer.getByText('The end.').first().waitFor();
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await answer.getByRole('button', { name: 'Copy' }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^def tern/);
  await eventually(async () => assert.match(await page.locator('#live').textContent(), /First/, 'a screen reader hears the stream'));
  await shot(page, 'chat-light');
  await page.keyboard.press('Escape');
  await page.emulateMedia({ colorScheme: 'dark' });
  await shot(page, 'chat-dark');
});

test('stop, answer again, switch, edit, branch: each goes on from a kept state', async (t) => {
  const page = await visit(t, browser, url);
  service.requests.length = 0;
  await say(page, 'Tell me a story');
  await answered(page);
  await say(page, 'slow please');
  await page.getByText('word20').first().waitFor();
  await page.keyboard.press('Escape');
  await answered(page);
  await page.getByText('stopped').first().waitFor();
  assert.doesNotMatch(await lastAnswer(page).textContent(), /word399/);
  const [first, second] = chats();
  assert.equal(first.keep_state, 'evictable');
  assert.equal(first.state, undefined);
  assert.match(second.state, /^st_/);
  assert.deepEqual(second.messages, [{ role: 'user', content: 'slow please' }]);

  await page.locator('.turn.user').last().getByRole('button', { name: 'Edit' }).click();
  await page.locator('textarea.edit').fill('Another story');
  await page.getByRole('button', { name: 'Send as a new branch' }).click();
  await answered(page);
  await page.getByText(/resumed \d+ of \d+ tokens/).last().waitFor();
  await eventually(async () => assert.equal(await page.locator('.turn.user').last().locator('.switcher span').textContent(), '2 / 2'));
  await page.getByRole('button', { name: 'Previous version' }).click();
  await page.getByText('slow please').first().waitFor();
  await page.getByRole('button', { name: 'Next version' }).click();

  await page.locator('.turn.assistant').last().getByRole('button', { name: 'Answer again' }).click();
  await answered(page);
  await eventually(async () => assert.equal(await page.locator('.turn.assistant').last().locator('.switcher span').textContent(), '2 / 2'));
  await page.locator('.turn.assistant').first().getByRole('button', { name: 'Branch from here' }).click();
  await page.locator('.branch-note').waitFor();
  await eventually(async () => assert.equal(await page.locator('.turn').count(), 2));
  await say(page, 'A third way');
  await answered(page);
  await eventually(async () => assert.equal(await page.locator('.turn.user').last().locator('.switcher span').textContent(), '3 / 3'));
  await eventually(async () => assert.equal(chats().at(-1).state, second.state, 'the branch began where its parent ended'));
  await shot(page, 'branches');
});

test('an answer that was stopped is completed, and states inside a branch are not kept', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  const before = (await (await fetch(`${url}/v1/states`)).json()).data.length;
  await say(page, 'slow please');
  await page.getByText('word5').first().waitFor();
  await page.locator('.send.stop').click();
  await answered(page);
  await page.getByRole('button', { name: 'Go on' }).click();
  await answered(page);
  await eventually(async () => assert.equal(chats().at(-1).messages.at(-1).role, 'assistant', 'what was cut is completed'));
  await eventually(async () => assert.match(await lastAnswer(page).textContent(), /^word0 .*little tern/));
  await eventually(async () => {
    const after = (await (await fetch(`${url}/v1/states`)).json()).data.length;
    assert.equal(after, before, 'one more at the end, one fewer inside');
  });
});

test('a conversation in two windows has what was written in both', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.locator('.turn.assistant').waitFor();
  await page.locator('.turn.user').getByRole('button', { name: 'Edit' }).click();
  await page.locator('textarea.edit').fill('half a thought');
  await say(other, 'Written elsewhere');
  await answered(other);
  await page.getByText('Written elsewhere').first().waitFor();
  await eventually(async () => assert.equal(await page.locator('textarea.edit').inputValue(), 'half a thought'));
  await page.locator('textarea.edit').press('Escape');
  await say(page, 'Written here');
  await answered(page);
  await other.getByText('Written here').first().waitFor();
  await other.waitForFunction(() => document.querySelectorAll('.turn').length === 6);
  const said = await other.locator('.turn.user .said').allTextContents();
  assert.deepEqual(said, ['Tell me a story', 'Written elsewhere', 'Written here']);

  await page.fill('#composer', 'not sent');
  await page.locator('.turn.user').last().getByRole('button', { name: 'Edit' }).click();
  await page.locator('textarea.edit').fill('nor this');
  await other.locator('.turn').nth(2).getByRole('button', { name: 'Delete from here on' }).click();
  await other.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.turn').length === 2);
  await eventually(async () => assert.equal(await page.locator('#composer').inputValue(), 'not sent\n\nnor this'));
});

test('an edited answer is a branch too, and a turn can be deleted with what follows', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  const turn = page.locator('.turn.assistant');
  await turn.getByRole('button', { name: 'Edit' }).click();
  await page.locator('textarea.edit').fill('My own words.');
  await page.getByRole('button', { name: 'Keep as a new branch' }).click();
  await eventually(async () => assert.equal((await lastAnswer(page).textContent()).trim(), 'My own words.'));
  await say(page, 'Go on');
  await answered(page);
  await eventually(async () => assert.deepEqual(chats().at(-1).messages.map((message) => message.content), ['Tell me a story', 'My own words.', 'Go on']));
  await page.locator('.turn').nth(1).getByRole('button', { name: 'Delete from here on' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await lastAnswer(page).getByText('The little tern').first().waitFor();
  await eventually(async () => assert.equal(await page.locator('.turn').count(), 2));
});

test('a state that the service has no more is no obstacle', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  const list = await (await fetch(`${url}/v1/states`)).json();
  for (const { id } of list.data) await fetch(`${url}/v1/states/${id}`, { method: 'DELETE' });
  await say(page, 'And then?');
  await answered(page);
  await eventually(async () => assert.match(await lastAnswer(page).textContent(), /little tern/));
  await eventually(async () => assert.equal(chats().at(-1).messages.length, 3));
  await eventually(async () => assert.equal(await page.locator('.error-line').count(), 0));
});

test('thoughts are folded', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'think first');
  await answered(page);
  await eventually(async () => assert.equal((await lastAnswer(page).textContent()).trim(), 'Hello!'));
  await page.locator('.thought').waitFor({ state: 'hidden' });
  await page.locator('.thinking summary').click();
  await eventually(async () => assert.match(await page.locator('.thought').textContent(), /say hello/));
  await shot(page, 'thinking');
});

test('an error is one line with a retry', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'break');
  await answered(page);
  await eventually(async () => assert.equal(await page.locator('.error-line span').textContent(), 'The model stumbled.'));
  await eventually(async () => assert.match(await lastAnswer(page).textContent(), /This answer/));
  await say(page, 'busy');
  await answered(page);
  await eventually(async () => assert.match(await page.locator('.error-line').last().textContent(), /Too many requests/));
  await shot(page, 'error');
  await page.locator('.error-line').last().getByRole('button').click();
  await answered(page);
  await eventually(async () => assert.match(await lastAnswer(page).textContent(), /little tern/));
  await page.context().setOffline(true);
  await say(page, 'anyone?');
  await answered(page);
  await eventually(async () => assert.match(await page.locator('.error-line').last().textContent(), /cannot be reached/));
  await page.context().setOffline(false);
  await page.locator('.error-line').last().getByRole('button').click();
  await answered(page);
});

test('a key is asked for, kept, and asked for again when it is wrong', async (t) => {
  service.key = 'secret';
  t.after(() => { service.key = ''; });
  const page = await visit(t, browser, url);
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Key of this service').fill('wrong');
  await shot(page, 'key');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByText('did not accept').first().waitFor();
  await dialog.getByLabel('Key of this service').fill('secret');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.locator('.model-select option').first().waitFor({ state: 'attached' });
  await page.reload();
  await say(page, 'Tell me a story');
  await answered(page);
  await eventually(async () => assert.match(await lastAnswer(page).textContent(), /little tern/));
});

test('conversations stay, are found, renamed, exported, deleted and imported', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Story of the sea');
  await answered(page);
  await page.getByRole('link', { name: 'New chat' }).click();
  await page.locator('.welcome').waitFor();
  await say(page, 'Story of the mountain');
  await answered(page);
  await page.reload();
  await page.locator('.turn.assistant').waitFor();
  assert.match(page.url(), /#\/chat\/\w+$/);
  const links = page.locator('.conversations a');
  await eventually(async () => assert.deepEqual(await links.allTextContents(), ['Story of the mountain', 'Story of the sea']));
  await page.keyboard.press('Control+k');
  await page.keyboard.type('sea');
  await eventually(async () => assert.equal(await links.count(), 2, 'both answers speak of the sea'));
  await page.fill('#search', 'mountain');
  await eventually(async () => assert.deepEqual(await links.allTextContents(), ['Story of the mountain']));
  await page.fill('#search', 'nowhere');
  await page.getByText('Nothing found.').first().waitFor();
  await page.fill('#search', '');

  const item = page.locator('.conversations li', { hasText: 'mountain' });
  await item.hover();
  await choose(page, item.getByRole('button'), 'Rename');
  await page.getByRole('dialog').getByLabel('Title').fill('Peaks');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.locator('.conversations a', { hasText: 'Peaks' }).waitFor();

  const download = page.waitForEvent('download');
  await choose(page, page.locator('#conversations-more'), 'Export all');
  const file = path.join(process.env.TERN_WEB_FOLDER, 'export.json');
  await (await download).saveAs(file);
  assert.equal(JSON.parse(await readFile(file, 'utf8')).conversations.length, 2);

  const peaks = page.locator('.conversations li', { hasText: 'Peaks' });
  await peaks.hover();
  await choose(page, peaks.getByRole('button'), 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.conversations a').length === 1);

  const upload = async (content) => {
    await writeFile(file, content);
    const chooser = page.waitForEvent('filechooser');
    await choose(page, page.locator('#conversations-more'), 'Import');
    await (await chooser).setFiles(file);
  };
  await upload(await readFile(file));
  await page.locator('.conversations a', { hasText: 'Peaks' }).click();
  await page.getByText('Story of the mountain').first().waitFor();
  await upload('nonsense');
  await page.getByText('This file is not JSON.').first().waitFor();
});

test('an answer stays as far as it was written when the page is left', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'slow please');
  await page.getByText('word20').first().waitFor();
  await page.reload();
  await page.locator('.turn.assistant').getByText('word20').first().waitFor();
  await page.getByText('stopped').first().waitFor();
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  const item = page.locator('.conversations li', { hasText: 'slow please' });
  await item.hover();
  await choose(page, item.getByRole('button'), 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByText('Conversations appear here').first().waitFor();
  await page.reload();
  await page.getByText('Conversations appear here').first().waitFor();
});

test('settings and presets reach the request', async (t) => {
  const page = await visit(t, browser, url);
  await page.getByRole('button', { name: 'Settings' }).click();
  const panel = page.locator('#tuning');
  await panel.getByLabel('System prompt').fill('Be a bird.');
  await panel.getByLabel('Preset', { exact: true }).selectOption('lively');
  await panel.getByLabel('Limit of tokens').fill('77');
  await panel.getByLabel('Thinking').selectOption('on');
  await panel.getByText('More', { exact: true }).click();
  await panel.getByLabel('Seed').fill('5');
  await panel.getByLabel('Stop texts').fill('END');
  await panel.getByLabel('Template').selectOption('g1');
  await shot(page, 'settings');
  await page.keyboard.press('Escape');
  await say(page, 'Tell me a story');
  await answered(page);
  const body = chats().at(-1);
  assert.deepEqual([body.temperature, body.top_p, body.presence_penalty, body.frequency_penalty], [1.2, 0.5, 0.4, 0.4]);
  assert.deepEqual([body.max_tokens, body.seed, body.stop, body.thinking, body.template], [77, 5, ['END'], true, 'g1']);
  assert.deepEqual(body.messages[0], { role: 'system', content: 'Be a bird.' });

  await page.getByRole('button', { name: 'Settings' }).click();
  await panel.getByRole('spinbutton', { name: 'Temperature' }).fill('0.35');
  await page.keyboard.press('Tab');
  await panel.getByRole('button', { name: 'Save as a preset' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('Mine');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.waitForFunction(() => document.querySelector('#preset-chat').value === 'Mine');
  await page.keyboard.press('Escape');
  await page.locator('.model-select').selectOption('rwkv7-g1-0.1b');
  await say(page, 'And then?');
  await answered(page);
  await eventually(async () => assert.equal(chats().at(-1).temperature, 0.35));
  await eventually(async () => assert.equal(chats().at(-1).model, 'rwkv7-g1-0.1b'));
  await eventually(async () => assert.equal(chats().at(-1).state, undefined, 'another model cannot go on from this state'));
});

test('the playground continues any text and takes another token', async (t) => {
  const page = await visit(t, browser, `${url}/#/playground`);
  await page.fill('#sheet', 'Once there was a bird.');
  await page.press('#sheet', 'Control+Enter');
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  await eventually(async () => assert.equal(asked('/v1/completions').at(-1).logprobs, 5));
  const token = page.locator('.token').nth(2);
  const lines = await page.evaluate(() => [...document.querySelector('.mirror').querySelectorAll('span')].slice(0, 3).map((one) => one.getClientRects()[0].top));
  assert.equal(lines[2], lines[0], 'what the model wrote follows in the same line');
  const before = await page.locator('.token').count();
  await token.hover();
  await page.locator('.popover').waitFor();
  await eventually(async () => assert.match(await page.locator('.popover').textContent(), /%/));
  await shot(page, 'playground-light');
  await page.locator('.alternative', { hasText: 'fish' }).click();
  await page.getByRole('button', { name: 'Go on' }).waitFor();
  await eventually(async () => assert.equal(asked('/v1/completions').at(-1).prompt, 'Once there was a bird. The little fish'));
  await eventually(async () => assert.equal(await page.locator('.token').count(), before + 3));
  await page.emulateMedia({ colorScheme: 'dark' });
  await shot(page, 'playground-dark');
  await page.locator('.token').first().focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await page.locator('.popover').waitFor();
  await page.keyboard.press('Escape');
  await eventually(async () => assert.equal(await page.locator('.popover').count(), 0));
  await page.getByRole('button', { name: 'Edit all' }).click();
  await eventually(async () => assert.match(await page.inputValue('#sheet'), /^Once there was a bird\. The little fish The little tern/));
  await eventually(async () => assert.equal(await page.locator('.token').count(), 0));
});

test('an answer whose state was not kept stays, and the conversation goes on by its text', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  service.full = true;
  t.after(() => { service.full = false; });
  await say(page, 'And then?');
  await answered(page);
  await page.getByText('the state of this answer was not kept').waitFor();
  await eventually(async () => assert.match(await lastAnswer(page).textContent(), /little tern/));
  await eventually(async () => assert.equal(await page.locator('.error-line').count(), 0));
  await say(page, 'And after that?');
  await answered(page);
  // From the last state that there is, with all that was said since.
  await eventually(async () => assert.equal(chats().at(-1).messages.length, 3));
  await eventually(async () => assert.equal(chats().at(-1).state, chats().at(-2).state));
  await eventually(async () => assert.equal(await page.locator('.error-line').count(), 0));
});

test('a chat that begins at a state that may be forgotten keeps a fork of it', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Kept states' }).click();
  const rows = page.locator('[data-state]').filter({ hasText: 'may be forgotten' });
  await rows.first().waitFor();
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Begin a chat here');
  await say(page, 'Hello again');
  await answered(page);
  const { state } = chats().at(-1);
  await eventually(async () => {
    const kept = await (await fetch(`${url}/v1/states/${state}`)).json();
    assert.equal(kept.evictable, false);
  });
  await page.keyboard.press('Escape');
  const item = page.locator('.conversations li:has(a[aria-current="page"])');
  await item.hover();
  await choose(page, item.getByRole('button'), 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await eventually(async () => assert.equal((await fetch(`${url}/v1/states/${state}`)).status, 404, 'the fork goes with the conversation'));
});

test('a conversation says when the state that it began at is gone', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Kept states' }).click();
  const rows = page.locator('[data-state]');
  await rows.first().waitFor();
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Begin a chat here');
  await say(page, 'Hello again');
  await answered(page);
  for (const { id } of (await (await fetch(`${url}/v1/states`)).json()).data) await fetch(`${url}/v1/states/${id}`, { method: 'DELETE' });
  await page.locator('.turn.assistant').last().getByRole('button', { name: 'Answer again' }).click();
  await answered(page);
  await page.getByText('that this conversation began at is gone').waitFor();
});

test('without an admin\'s key models are shown but not changed', async (t) => {
  service.admin = false;
  t.after(() => { service.admin = true; });
  const page = await visit(t, browser, `${url}/#/models`);
  const button = page.locator('[data-model="rwkv7-g1-0.1b"]').getByRole('button', { name: 'Load' });
  await button.waitFor();
  assert.equal(await button.isDisabled(), true);
  assert.match(await button.getAttribute('title'), /admin/);
});

test('models load and unload', async (t) => {
  const page = await visit(t, browser, `${url}/#/models`);
  const card = page.locator('[data-model="rwkv7-g1-0.1b"]');
  await card.getByRole('button', { name: 'Load' }).click();
  await card.getByRole('button', { name: 'Unload' }).waitFor();
  await eventually(async () => assert.match(await card.textContent(), /RWKV-7.*191M.*12 layers of 768/s));
  await shot(page, 'models-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await shot(page, 'models-dark');
  await card.getByRole('button', { name: 'Unload' }).click();
  await card.getByRole('button', { name: 'Load' }).waitFor();
});

test('metrics are live, and asked for only while they are shown', async (t) => {
  const page = await visit(t, browser, `${url}/#/metrics`);
  await page.waitForFunction(() => window.Chart && Chart.getChart(document.querySelector('canvas'))?.data.labels.length >= 3);
  await eventually(async () => assert.match(await page.locator('.tiles').textContent(), /tokens\/s/));
  await shot(page, 'metrics-light');
  await page.keyboard.press('t');
  await page.keyboard.press('t');
  await eventually(async () => assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark'));
  await page.waitForTimeout(200);
  await shot(page, 'metrics-dark');
  await page.keyboard.press('1');
  await page.locator('#composer').waitFor();
  await page.waitForTimeout(300);
  const before = asked('/v1/status').length;
  await page.waitForTimeout(1500);
  await eventually(async () => assert.equal(asked('/v1/status').length, before));
});

test('kept states are read, forked, rolled back, downloaded and deleted', async (t) => {
  const page = await visit(t, browser, url);
  for (const { id } of (await (await fetch(`${url}/v1/states`)).json()).data) await fetch(`${url}/v1/states/${id}`, { method: 'DELETE' });
  await say(page, 'Tell me a story');
  await answered(page);
  await page.getByRole('link', { name: 'Kept states' }).click();
  const rows = page.locator('[data-state]');
  await rows.first().waitFor();
  await rows.first().getByRole('button', { name: 'Show the text' }).click();
  await eventually(async () => assert.match(await page.getByRole('dialog').textContent(), /little tern/));
  await page.keyboard.press('Escape');
  const menu = rows.first().getByRole('button', { name: 'Menu' });
  await choose(page, menu, 'Fork');
  await page.getByRole('dialog').getByLabel('Note').fill('a fork');
  await page.getByRole('dialog').getByRole('button', { name: 'Fork' }).click();
  await page.getByText('a fork').first().waitFor();
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Roll back');
  await page.getByRole('dialog').getByRole('textbox').fill('3');
  await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
  await page.getByText('3 tokens').first().waitFor();
  await shot(page, 'states');
  const download = page.waitForEvent('download');
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Download');
  assert.match((await download).suggestedFilename(), /^st_.*\.safetensors$/);
  await choose(page, rows.filter({ hasText: 'a fork' }).first().getByRole('button', { name: 'Menu' }), 'Begin a chat here');
  await say(page, 'Hello again');
  await answered(page);
  await eventually(async () => assert.match(chats().at(-1).state, /^st_/));
  await eventually(async () => assert.deepEqual(chats().at(-1).messages, [{ role: 'user', content: 'Hello again' }]));
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Kept states' }).click();
  await rows.first().waitFor();
  await rows.locator('a', { hasText: 'a fork' }).first().waitFor();  // the conversation that goes on from it
  const count = await rows.count();
  await choose(page, rows.first().getByRole('button', { name: 'Menu' }), 'Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForFunction((left) => document.querySelectorAll('[data-state]').length === left, count - 1);
});

test('everything can be reached by keys', async (t) => {
  const page = await visit(t, browser, url);
  await say(page, 'Tell me a story');
  await answered(page);
  await page.keyboard.press('ArrowUp');
  await page.locator('textarea.edit').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.turn').last().focus();
  await page.keyboard.press('ArrowUp');
  await eventually(async () => assert.ok(await page.evaluate(() => document.activeElement.classList.contains('user'))));
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('r');
  await answered(page);
  await page.locator('.turn').last().focus();
  await page.keyboard.press('ArrowLeft');
  await eventually(async () => assert.equal(await page.locator('.switcher span').textContent(), '1 / 2'));
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('Search conversations').first().waitFor();
  await shot(page, 'keys');
  await page.keyboard.press('Escape');
  for (const [key, view] of [['2', 'playground'], ['3', 'models'], ['4', 'metrics'], ['5', 'states']]) {
    await page.keyboard.press(key);
    await page.waitForURL(`**/#/${view}`);
    await page.waitForFunction((name) => document.querySelector(`a[href="#/${name}"]`).getAttribute('aria-current') === 'page', view);
  }
  await page.keyboard.press('n');
  await page.locator('.welcome').waitFor();
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('/');
  await eventually(async () => assert.equal(await page.evaluate(() => document.activeElement.id), 'composer'));
});

test('everything has a name', async (t) => {
  const page = await visit(t, browser, url, { hostile: true });
  await say(page, 'Show me markdown');
  await answered(page);
  for (const view of ['', 'playground', 'models', 'metrics', 'states']) {
    if (view) await page.locator(`.views a[href="#/${view}"]`).click();
    await page.waitForTimeout(300);
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, a, input:not([type=file]), select, textarea, canvas')]
      .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length || one.type === 'range'))
      .map((one) => one.outerHTML.slice(0, 100)));
    assert.deepEqual(nameless, [], view);
    await eventually(async () => assert.equal(await page.locator('h1').count(), 1));
    await eventually(async () => assert.equal(await page.locator('main').count(), 1));
  }
});

test('Chinese, by the browser and by choice', async (t) => {
  const page = await visit(t, browser, url, { locale: 'zh-CN' });
  await eventually(async () => assert.equal(await page.locator('html').getAttribute('lang'), 'zh'));
  await page.getByText('从哪里开始？').first().waitFor();
  await shot(page, 'chinese');
  await choose(page, page.locator('#language'), 'English');
  await page.getByText('Where shall we begin?').first().waitFor();
});

test('a phone has all of it, and nothing wider than the screen', async (t) => {
  const page = await visit(t, browser, url, { viewport: PHONE, hasTouch: true, isMobile: true, hostile: true });
  await shot(page, 'phone-welcome');
  await page.fill('#composer', 'Show me markdown');
  await page.locator('.send').tap();
  await answered(page);
  await shot(page, 'phone-chat');
  for (const view of ['playground', 'models', 'metrics', 'states']) {
    await page.locator('#menu').tap();
    await page.locator(`.sidebar.open a[href="#/${view}"]`).tap();
    await page.waitForTimeout(400);
    await shot(page, `phone-${view}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${view} is ${wide} pixels too wide`);
  }
  await page.locator('#menu').tap();
  await page.waitForTimeout(300);
  await shot(page, 'phone-menu');
});

// What the browser's tests share: one Chromium, a page that tells of everything that goes wrong in it, screenshots.
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import assert from 'node:assert/strict';
import path from 'node:path';

const folder = process.env.TERN_WEB_FOLDER;
const { chromium } = createRequire(path.join(folder, 'node_modules', 'x.js'))('playwright-core');
const shots = path.join(folder, 'screenshots');
mkdirSync(shots, { recursive: true });

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 780 };

export const launch = () => chromium.launch({ executablePath: process.env.TERN_CHROMIUM, args: ['--no-sandbox'] });

export const shot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

/**
 * A fresh browser profile at `url`. After the test: no script failed, and nothing asked another host. `hostile`: the sanitiser
 * will parse what the page's policy forbids, and the browser says so.
 */
export async function visit(t, browser, url, { hostile = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, locale: 'en-GB', colorScheme: 'light', acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (hostile && message.text().includes('Content Security Policy')) return;
    if (message.type() === 'error' && !/status of (401|403|404|429|500|503)|ERR_INTERNET_DISCONNECTED/.test(message.text())) wrong.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !/^(blob|data):/.test(request.url())) wrong.push(`asked ${request.url()}`);
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(url);
  await page.waitForSelector('#composer, #sheet, .page');
  return page;
}

export async function say(page, text) {
  await page.fill('#composer', text);
  await page.press('#composer', 'Enter');
}

/** Until the answer that is being written is complete. */
export const answered = (page) => page.waitForFunction(() =>
  document.querySelector('.turn.assistant') && !document.querySelector('.turn.running') && !document.querySelector('.send.stop'));

/** Runs `check` until it throws no more. What a click sets in motion shows only after a while, on a busy machine a long one. */
export async function eventually(check) {
  const end = Date.now() + 10_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  }
}

export const lastAnswer = (page) => page.locator('.turn.assistant .answer').last();

export async function choose(page, button, item) {
  await button.click();
  await page.locator('.menu').getByRole('menuitem', { name: item }).click();
}

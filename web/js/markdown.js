// Markdown into elements. What a model writes is not trusted: everything goes through the sanitiser, and nothing in it may
// fetch anything (images become links).
import { languageFiles } from './languages.js';
import { loadScript } from './loader.js';
import { h, icon } from './dom.js';
import { t } from './i18n.js';

const ALLOWED_TAGS = ['a', 'b', 'blockquote', 'br', 'code', 'dd', 'del', 'details', 'div', 'dl', 'dt', 'em', 'h1', 'h2', 'h3', 'h4',
  'h5', 'h6', 'hr', 'i', 'input', 'kbd', 'li', 'mark', 'ol', 'p', 'pre', 's', 'span', 'strong', 'sub', 'summary', 'sup', 'table',
  'tbody', 'td', 'th', 'thead', 'tr', 'u', 'ul'];
const ALLOWED_ATTR = ['href', 'title', 'class', 'align', 'start', 'type', 'checked', 'disabled'];

let ready = null;
export function loadMarkdown() {
  ready ??= Promise.all([loadScript('/assets/vendor/marked.js'), loadScript('/assets/vendor/purify.js')]).then(() => {
    // Debian 12's DOMPurify (2.4.1+deb12u1) asks, in a line that a security fix put in the wrong function, for a variable that
    // is nowhere declared, and fails with every text. The check itself stands in the right place too (of `currentNode`).
    globalThis.shadowNode ??= Object.freeze({ __depth: 0 });
    globalThis.marked.setOptions({ gfm: true, breaks: false, mangle: false, headerIds: false });
  });
  return ready;
}

function sanitised(html) {
  const fragment = globalThis.DOMPurify.sanitize(html, {
    ALLOWED_TAGS, ALLOWED_ATTR, ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true,
    ADD_URI_SAFE_ATTR: ['class', 'align', 'start', 'type', 'checked', 'disabled'],  // the others must look like addresses
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
  });
  for (const link of fragment.querySelectorAll('a')) {
    link.target = '_blank';
    link.rel = 'noopener noreferrer nofollow';
  }
  for (const input of fragment.querySelectorAll('input')) {  // only the boxes of task lists
    if (input.getAttribute('type') !== 'checkbox') input.remove();
    else input.disabled = true;
  }
  // A model's answer must not be able to look like a part of the page.
  for (const element of fragment.querySelectorAll('[class]')) {
    if (element.tagName !== 'CODE') element.removeAttribute('class');
  }
  for (const table of fragment.querySelectorAll('table')) {
    const frame = h('div', { class: 'table-frame', tabindex: '0' });
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const block of fragment.querySelectorAll('pre')) frameCode(block);
  return fragment;
}

function frameCode(block) {
  const code = block.querySelector('code') ?? block;
  const label = /language-(\S+)/.exec(code.className)?.[1] ?? '';
  const frame = h('figure', { class: 'code' },
    h('figcaption', {}, h('span', { class: 'code-language' }, label || t('code.plain')), copyButton(() => code.textContent)));
  block.replaceWith(frame);
  frame.append(block);
  block.tabIndex = 0;
  code.dataset.language = label;
}

function copyButton(text) {
  const button = h('button', { type: 'button', class: 'quiet small', onclick: async () => {
    await copyText(text());
    button.replaceChildren(icon('check'), t('code.copied'));
    setTimeout(() => button.replaceChildren(icon('copy'), t('code.copy')), 1600);
  } }, icon('copy'), t('code.copy'));
  return button;
}

/** The clipboard needs a secure context; plain HTTP over a network has none, so the old way is the second. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h('textarea', { class: 'sr-only', value: text });
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}

async function highlight(code) {
  const files = languageFiles(code.dataset.language ?? '');
  if (!files.length || code.dataset.done) return;
  code.dataset.done = '1';
  try {
    for (const file of ['core', ...files]) await loadScript(`/assets/vendor/highlight/${file}.js`);
    const { value } = globalThis.hljs.highlight(files.at(-1), code.textContent, true);
    code.replaceChildren(globalThis.DOMPurify.sanitize(value, {
      ALLOWED_TAGS: ['span'], ALLOWED_ATTR: ['class'], RETURN_DOM_FRAGMENT: true }));
  } catch { /* plain code is readable too */ }
}

// An image would be fetched from wherever its address says, and the address can say what was talked about.
function renderer() {
  const plain = new globalThis.marked.Renderer();
  const link = plain.link.bind(plain);
  plain.image = (href, title, text) => link(href, title, text || href);
  return plain;
}

/** Shows a text that grows. Blocks that are complete are kept as they are; only the last is made anew. */
export class MarkdownView {
  #element;
  #blocks = [];

  constructor(element) {
    this.#element = element;
  }

  /** `done`: nothing more will come, the last block's code may be coloured too. */
  update(text, done = false) {
    if (!globalThis.marked || !globalThis.DOMPurify?.isSupported) {  // not loaded yet: the plain text until then
      this.#element.textContent = text;
      loadMarkdown().then(() => {
        if (this.#element.textContent === text && globalThis.DOMPurify.isSupported) this.update(text, done);
      }, () => {});
      this.#blocks = [];
      return;
    }
    if (!this.#blocks.length) this.#element.replaceChildren();
    const tokens = globalThis.marked.lexer(text);
    let same = 0;
    while (same < this.#blocks.length && same < tokens.length && this.#blocks[same].raw === tokens[same].raw) ++same;
    for (const block of this.#blocks.splice(same)) block.element.remove();
    for (const token of tokens.slice(same)) {
      const html = globalThis.marked.parser([token], { ...globalThis.marked.defaults, renderer: renderer() });
      const element = h('div', { class: 'block' }, sanitised(html));
      this.#element.append(element);
      this.#blocks.push({ raw: token.raw, element });
    }
    const whole = done ? this.#blocks : this.#blocks.slice(0, -1);
    for (const { element } of whole) for (const code of element.querySelectorAll('pre code')) highlight(code);
  }
}

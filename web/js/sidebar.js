// The side: views, conversations with a search, and what belongs to the page as a whole.
import { fill, h, icon, iconButton, saveFile } from './dom.js';
import { LANGUAGES, language, setLanguage, t } from './i18n.js';
import { askText, confirmDialog, showMenu, toast } from './dialog.js';
import { daysAgo } from './format.js';
import { deleteConversation, getConversation, listConversations, onChange, saveConversation } from './store.js';
import { exportText, importText } from './transfer.js';
import { forgetState, stop } from './runner.js';
import { matches } from './tree.js';
import { pref, setPref } from './prefs.js';

export const VIEWS = [['chat', 'chat'], ['playground', 'pen'], ['models', 'box'], ['metrics', 'chart'], ['states', 'layers']];

const THEMES = ['auto', 'light', 'dark'];
const THEME_ICONS = { auto: 'auto', light: 'sun', dark: 'moon' };

function applyTheme(theme) {
  setPref('theme', theme === 'auto' ? null : theme);
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new CustomEvent('tern:theme'));
}

export function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(pref('theme') ?? 'auto') + 1) % THEMES.length];
  applyTheme(theme);
  return theme;
}

function themeButton() {
  const button = iconButton(THEME_ICONS[pref('theme') ?? 'auto'], '', () => {
    nextTheme();
    name();
  }, { id: 'theme' });
  const name = () => {
    const theme = pref('theme') ?? 'auto';
    button.replaceChildren(icon(THEME_ICONS[theme]));
    button.title = t(`theme.${theme}`);
    button.setAttribute('aria-label', t(`theme.${theme}`));
  };
  name();
  return button;
}

function languageButton() {
  const button = iconButton('globe', t('language'), () => showMenu(button, Object.entries(LANGUAGES).map(([name, label]) =>
    [name === language() ? `✓ ${label}` : label, () => {
      setLanguage(name);
      location.reload();
    }])), { id: 'language', 'aria-haspopup': 'menu' });
  return button;
}

const fileDate = () => new Date().toISOString().slice(0, 10);

function exportAll() {
  saveFile(`tern-conversations-${fileDate()}.json`, exportText(listConversations()));
}

function importFile() {
  const input = h('input', { type: 'file', accept: '.json,application/json', onchange: async () => {
    const file = input.files[0];
    if (!file) return;
    try {
      const conversations = importText(await file.text());
      for (const conversation of conversations) await saveConversation(conversation);
      toast(t('import.done', { count: conversations.length }));
    } catch (error) {
      toast(t(error.message), { error: true });
    }
  } });
  input.click();
}

async function removeConversation(conversation) {
  if (!await confirmDialog(t('conversation.delete'), t('conversation.delete.text', { title: conversation.title }), t('delete'))) return;
  stop(conversation);
  for (const node of Object.values(conversation.nodes)) if (node.state) forgetState(node.state);
  if (conversation.ownsBase && conversation.base) forgetState(conversation.base);
  await deleteConversation(conversation.id);
  if (location.hash === `#/chat/${conversation.id}`) location.hash = '#/chat';
}

async function renameConversation(conversation) {
  const title = await askText(t('conversation.rename'), { value: conversation.title, label: t('conversation.title') });
  if (title) await saveConversation(Object.assign(getConversation(conversation.id), { title }));
}

export class Sidebar {
  constructor() {
    this.list = h('ul', { class: 'conversations', 'aria-label': t('conversations'), onkeydown: (event) => this.#listKey(event) });
    this.search = h('input', { type: 'search', id: 'search', placeholder: t('conversations.search'),
      'aria-label': t('conversations.search'), oninput: () => this.renderList(), onkeydown: (event) => {
        if (event.key === 'ArrowDown') this.list.querySelector('a')?.focus();
        else if (event.key === 'Escape' && this.search.value) {
          event.stopPropagation();
          this.search.value = '';
          this.renderList();
        }
      } });
    const more = iconButton('more', t('conversations.more'), () => showMenu(more, [
      [t('export.all'), exportAll], [t('import'), importFile]]), { 'aria-haspopup': 'menu', id: 'conversations-more' });
    this.links = new Map(VIEWS.map(([view, picture]) =>
      [view, h('a', { href: `#/${view}` }, icon(picture), h('span', {}, t(`view.${view}`)))]));
    this.element = h('nav', { class: 'sidebar', id: 'sidebar', 'aria-label': t('navigation') },
      h('div', { class: 'brand' }, h('img', { src: '/assets/icon.svg', alt: '', width: 26, height: 26 }), h('strong', {}, 'Tern'),
        iconButton('close', t('close'), () => this.open(false), { class: 'icon-button only-small' })),
      h('a', { class: 'new-chat', href: '#/chat' }, icon('plus'), t('chat.new')),
      h('div', { class: 'views' }, [...this.links.values()]),
      h('div', { class: 'search-row' }, icon('search'), this.search, more),
      this.list,
      h('div', { class: 'side-foot' }, themeButton(), languageButton(),
        iconButton('key', t('key.enter'), () => document.dispatchEvent(new CustomEvent('tern:key')), { id: 'key' }),
        iconButton('keyboard', t('shortcuts'), () => document.dispatchEvent(new CustomEvent('tern:shortcuts')), { id: 'shortcuts' })));
    this.shade = h('div', { class: 'shade', onclick: () => this.open(false) });
    onChange(() => this.renderList());
    this.renderList();
  }

  open(show = !this.element.classList.contains('open')) {
    this.element.classList.toggle('open', show);
    this.shade.classList.toggle('open', show);
    if (show) this.element.querySelector('a').focus();
  }

  show(view, id) {
    for (const [name, link] of this.links) {
      if (name === view) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    this.current = id;
    this.renderList();
    this.open(false);
  }

  #item(conversation) {
    const menu = iconButton('more', t('conversation.menu', { title: conversation.title }), () => showMenu(menu, [
      [t('conversation.rename'), () => renameConversation(conversation)],
      [t('export.one'), () => saveFile(`${conversation.title.replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 40) || 'conversation'}.json`,
        exportText([conversation]))],
      [t('delete'), () => removeConversation(conversation), { danger: true }]]), { 'aria-haspopup': 'menu' });
    return h('li', {}, h('a', { href: `#/chat/${conversation.id}`, title: conversation.title,
      'aria-current': conversation.id === this.current ? 'page' : null }, conversation.title || t('chat.new')), menu);
  }

  renderList() {
    const found = listConversations().filter((conversation) => matches(conversation, this.search.value));
    const groups = [];
    for (const conversation of found) {
      const days = daysAgo(conversation.updated);
      const label = t(days === 0 ? 'when.today' : days === 1 ? 'when.yesterday' : days < 8 ? 'when.week' : 'when.earlier');
      if (groups.at(-1)?.label !== label) groups.push({ label, items: [] });
      groups.at(-1).items.push(this.#item(conversation));
    }
    fill(this.list, groups.map(({ label, items }) => [h('li', { class: 'when', role: 'presentation' }, label), items]),
      found.length ? null : h('li', { class: 'none' }, t(this.search.value ? 'conversations.not_found' : 'conversations.none')));
  }

  #listKey(event) {
    const links = [...this.list.querySelectorAll('a')];
    const at = links.indexOf(document.activeElement);
    if (at < 0 || !['ArrowDown', 'ArrowUp'].includes(event.key)) return;
    event.preventDefault();
    const next = at + (event.key === 'ArrowDown' ? 1 : -1);
    if (next < 0) this.search.focus();
    else links[next]?.focus();
  }
}

// The page as a whole: which view is shown, and what every view needs.
import { fill, h, iconButton } from './dom.js';
import { Sidebar, VIEWS, nextTheme } from './sidebar.js';
import { askText, toast } from './dialog.js';
import { chatView } from './chat.js';
import { installShortcuts, showShortcuts } from './shortcuts.js';
import { loadTexts, t } from './i18n.js';
import { note } from './announce.js';
import { onUnauthorized } from './api.js';
import { openStore } from './store.js';
import { setPref } from './prefs.js';

// Views other than the chat are fetched when they are first shown.
const BUILDERS = {
  chat: async () => chatView,
  playground: async () => (await import('./playground.js')).playgroundView,
  models: async () => (await import('./models.js')).modelsView,
  metrics: async () => (await import('./metrics.js')).metricsView,
  states: async () => (await import('./states.js')).statesView,
};

let shown = null;
let asking = null;

// One question at a time, however many requests were refused.
function askKey(wrong) {
  asking ??= askText(t('key.enter'), {
    label: t('key.label'), hint: t(wrong ? 'key.wrong' : 'key.hint'), secret: true,
  }).then((key) => {
    asking = null;
    if (key === null) return false;
    setPref('key', key || null);
    return Boolean(key);
  });
  return asking;
}

async function route(sidebar, main) {
  const [, view, id] = location.hash.split('/');
  const name = view in BUILDERS ? view : 'chat';
  let built;
  try {
    built = (await BUILDERS[name]())(id && decodeURIComponent(id));
  } catch (error) {
    toast(t('error.unreachable'), { error: true, retry: () => route(sidebar, main) });
    return;
  }
  shown?.hidden?.();
  shown = built;
  if (name !== 'chat') document.title = `${t(`view.${name}`)} – Tern`;
  fill(main, built.element);
  sidebar.show(name, id);
  built.shown?.();
}

function build() {
  const sidebar = new Sidebar();
  const main = h('main', { id: 'content', tabindex: '-1' });
  const menu = iconButton('menu', t('navigation'), () => sidebar.open(true), { class: 'icon-button menu-button', id: 'menu' });
  fill(document.getElementById('app'), sidebar.element, sidebar.shade, menu, main);
  document.getElementById('skip').textContent = t('skip');
  document.getElementById('skip').addEventListener('click', (event) => {
    event.preventDefault();  // the address is the view's
    main.focus();
  });
  installShortcuts({
    view: (index) => { location.hash = `#/${VIEWS[index][0]}`; },
    fresh: () => {
      if (location.hash === '#/chat') route(sidebar, main);
      else location.hash = '#/chat';
    },
    focus: () => shown?.focus?.(),
    search: () => {
      if (matchMedia('(max-width: 860px)').matches) sidebar.open(true);
      sidebar.search.focus();
    },
    theme: () => note(t(`theme.${nextTheme()}`)),
    escape: () => shown?.escape?.() ?? false,
  });
  document.addEventListener('tern:key', () => askKey(false));
  document.addEventListener('tern:shortcuts', showShortcuts);
  addEventListener('hashchange', () => route(sidebar, main));
  sidebar.element.querySelector('.new-chat').addEventListener('click', () => {
    if (location.hash === '#/chat') route(sidebar, main);
  });
  return route(sidebar, main);
}

onUnauthorized(askKey);
await Promise.all([loadTexts(), openStore()]);
await build();

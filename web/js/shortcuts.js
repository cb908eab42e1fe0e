// Keys that work everywhere, and the list of all of them.
import { h, isTyping } from './dom.js';
import { showDialog } from './dialog.js';
import { t } from './i18n.js';

const LIST = [
  ['shortcuts.everywhere', [['?', 'shortcuts.list'], ['1 … 5', 'shortcuts.views'], ['n', 'shortcuts.new'], ['/', 'shortcuts.focus'],
    ['Ctrl K', 'shortcuts.search'], ['t', 'shortcuts.theme'], ['Esc', 'shortcuts.escape']]],
  ['shortcuts.writing', [['Enter', 'shortcuts.send'], ['Shift Enter', 'shortcuts.line'], ['Ctrl Enter', 'shortcuts.send_always'],
    ['↑', 'shortcuts.edit_last']]],
  ['shortcuts.turns', [['↑ ↓', 'shortcuts.move'], ['← →', 'shortcuts.branches'], ['e', 'turn.edit'], ['r', 'turn.retry'],
    ['b', 'turn.branch']]],
];

export function showShortcuts() {
  if (document.querySelector('dialog')) return;
  const keys = (text) => text.split(' ').map((one) => (one === '…' ? one : h('kbd', {}, one)));
  const section = ([title, list]) => h('section', {}, h('h3', {}, t(title)),
    h('dl', {}, list.map(([key, text]) => h('div', {}, h('dt', {}, keys(key)), h('dd', {}, t(text))))));
  showDialog(t('shortcuts'), () => h('div', { class: 'shortcuts' }, LIST.map(section)), { wide: true });
}

/** `actions`: view(number), fresh, focus, search, theme, escape. */
export function installShortcuts(actions) {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open], .menu')) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      actions.search();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') {
      if (!actions.escape() && isTyping(event.target)) event.target.blur();
      return;
    }
    if (isTyping(event.target)) return;
    const action = {
      '?': showShortcuts, n: actions.fresh, '/': actions.focus, t: actions.theme,
      1: () => actions.view(0), 2: () => actions.view(1), 3: () => actions.view(2), 4: () => actions.view(3), 5: () => actions.view(4),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

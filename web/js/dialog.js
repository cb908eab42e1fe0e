// Dialogs, menus and short notices, on the browser's own <dialog> (which keeps the focus inside and closes on Escape).
import { h, iconButton } from './dom.js';
import { note } from './announce.js';
import { t } from './i18n.js';

/** Shows a dialog; resolves to what `close(value)` was given, or null when it was dismissed. */
export function showDialog(title, build, { wide = false } = {}) {
  const before = document.activeElement;
  return new Promise((resolve) => {
    let result = null;
    const dialog = h('dialog', { class: wide ? 'dialog wide' : 'dialog', 'aria-labelledby': 'dialog-title' });
    const close = (value = null) => {
      result = value;
      dialog.close();
    };
    dialog.append(
      h('header', {}, h('h2', { id: 'dialog-title' }, title), iconButton('close', t('close'), () => close())),
      h('div', { class: 'dialog-body' }, build(close)));
    dialog.addEventListener('close', () => {
      dialog.remove();
      before?.focus?.();
      resolve(result);
    });
    dialog.addEventListener('click', (event) => { if (event.target === dialog) close(); });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector('[autofocus]') ?? dialog.querySelector('.dialog-body button, input, textarea'))?.focus();
  });
}

export function confirmDialog(title, text, action) {
  return showDialog(title, (close) => [
    h('p', {}, text),
    h('div', { class: 'buttons' },
      h('button', { type: 'button', class: 'quiet', onclick: () => close(false) }, t('cancel')),
      h('button', { type: 'button', class: 'danger', autofocus: true, onclick: () => close(true) }, action)),
  ]);
}

/** Asks for a line of text; null when dismissed. */
export function askText(title, { value = '', label = title, hint = '', action = t('save'), secret = false } = {}) {
  return showDialog(title, (close) => {
    const input = h('input', {
      type: secret ? 'password' : 'text', value, id: 'ask', autofocus: true, autocomplete: 'off', spellcheck: 'false',
    });
    const form = h('form', { onsubmit: (event) => {
      event.preventDefault();
      close(input.value.trim());
    } },
    h('label', { for: 'ask', class: 'field-label' }, label), input, hint && h('p', { class: 'hint' }, hint),
    h('div', { class: 'buttons' },
      h('button', { type: 'button', class: 'quiet', onclick: () => close(null) }, t('cancel')),
      h('button', { type: 'submit', class: 'primary' }, action)));
    requestAnimationFrame(() => input.select());
    return form;
  });
}

/** A line at the bottom for a few seconds; `retry` adds a button. */
export function toast(text, { retry = null, error = false } = {}) {
  for (const old of document.querySelectorAll('.toast')) old.remove();
  const element = h('div', { class: error ? 'toast error' : 'toast' }, h('span', {}, text),
    retry && h('button', { type: 'button', class: 'quiet small', onclick: () => {
      element.remove();
      retry();
    } }, t('retry')),
    iconButton('close', t('close'), () => element.remove()));
  document.body.append(element);
  note(text);
  setTimeout(() => element.remove(), retry ? 15_000 : 5000);
}

/** A menu below a button: items are [label, action, {danger}]. Arrow keys move, Escape closes. */
export function showMenu(button, items) {
  document.querySelector('.menu')?.remove();
  const menu = h('div', { class: 'menu', role: 'menu' }, items.map(([label, action, { danger = false } = {}]) =>
    h('button', { type: 'button', role: 'menuitem', class: danger ? 'danger-text' : null, onclick: () => {
      close();
      action();
    } }, label)));
  const outside = (event) => { if (!menu.contains(event.target)) close(false); };
  const close = (focus = true) => {
    menu.remove();
    document.removeEventListener('pointerdown', outside, true);
    button.setAttribute('aria-expanded', 'false');
    if (focus) button.focus();
  };
  menu.addEventListener('keydown', (event) => {
    const all = [...menu.children];
    const at = all.indexOf(document.activeElement);
    if (event.key === 'ArrowDown') all[(at + 1) % all.length].focus();
    else if (event.key === 'ArrowUp') all[(at + all.length - 1) % all.length].focus();
    else if (event.key === 'Escape' || event.key === 'Tab') close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(menu);
  const place = button.getBoundingClientRect();
  const below = place.bottom + menu.offsetHeight + 8 < innerHeight;
  menu.style.top = `${below ? place.bottom + 4 : Math.max(8, place.top - menu.offsetHeight - 4)}px`;
  menu.style.left = `${Math.max(8, Math.min(place.left, innerWidth - menu.offsetWidth - 8))}px`;
  button.setAttribute('aria-expanded', 'true');
  document.addEventListener('pointerdown', outside, true);
  menu.firstElementChild.focus();
}

// The settings of answers: presets, sliders, what stands before the first turn.
import { autoGrow, fill, h, iconButton } from './dom.js';
import { askText, confirmDialog } from './dialog.js';
import { t } from './i18n.js';
import { PRESETS, SETTINGS, presetNames, presetOf } from './presets.js';
import { pref, setPref } from './prefs.js';

const DEFAULTS = {
  chat: { sampling: PRESETS.balanced, maxTokens: 1024, seed: null, stop: '', template: '', thinking: '', grammar: '' },
  playground: { sampling: PRESETS.story, maxTokens: 120, seed: null, stop: '', grammar: '' },
};

const read = (place) => ({ ...DEFAULTS[place], ...pref(`settings.${place}`, {}) });
export const chatSettings = () => read('chat');
export const playgroundSettings = () => read('playground');

const TEMPLATES = ['', 'world', 'g1', 'g1-think', 'raven', 'none'];

// Numbered anew each time a panel renders, so that the field with the focus is found again.
let fieldPlace = '';
let fieldNumber = 0;
const nextId = () => `field-${fieldPlace}-${++fieldNumber}`;

function field(label, build, hint = '') {
  const id = nextId();
  return h('div', { class: 'field' }, h('label', { for: id, class: 'field-label', title: hint || null }, label), build(id));
}

function slider({ name, min, max, step }, value, set) {
  const id = nextId();
  const digits = String(step).split('.')[1]?.length ?? 0;
  const show = (number) => {
    range.classList.toggle('unset', number === null);
    range.value = String(number ?? min);
  };
  const box = h('input', { type: 'number', id, min, max, step, value: value ?? '', placeholder: t('settings.auto'), onchange: () => {
    const number = box.value === '' ? null : Math.min(max, Math.max(min, Number(box.value)));
    box.value = number ?? '';
    show(number);
    set(number);
  } });
  const range = h('input', { type: 'range', min, max, step, 'aria-label': t(`settings.${name}`),
    oninput: () => {
      box.value = Number(range.value).toFixed(digits);
      range.classList.remove('unset');
    },
    onchange: () => set(Number(range.value)) });
  show(value ?? null);
  return h('div', { class: 'field slider' },
    h('label', { for: id, class: 'field-label', title: t(`settings.${name}.hint`) }, t(`settings.${name}`)), box, range);
}

/** {element, refresh}: `refresh` after the settings have changed. */
function presetRow(place, take) {
  const own = () => pref('presets', {});
  const select = h('select', { id: `preset-${place}`, onchange: () => {
    if (select.value) take({ sampling: { ...({ ...PRESETS, ...own() })[select.value] } });
  } });
  const save = iconButton('plus', t('preset.save'), async () => {
    const name = await askText(t('preset.save'), { label: t('preset.name') });
    if (!name || name in PRESETS) return;
    setPref('presets', { ...own(), [name]: read(place).sampling });
    refresh();
  });
  const remove = iconButton('trash', t('preset.delete'), async () => {
    const name = select.value;
    if (!await confirmDialog(t('preset.delete'), name, t('delete'))) return;
    const { [name]: gone, ...rest } = own();
    setPref('presets', rest);
    refresh();
  });
  const refresh = () => {
    const current = presetOf(read(place).sampling, own());
    fill(select, current ? null : h('option', { value: '', selected: true }, t('preset.changed')),
      presetNames(own()).map((name) => h('option', { value: name, selected: name === current }, name in PRESETS ? t(`preset.${name}`) : name)));
    save.hidden = current !== '';
    remove.hidden = !(current in own());
  };
  refresh();
  const element = h('div', { class: 'field' }, h('label', { for: select.id, class: 'field-label' }, t('preset')),
    h('div', { class: 'row' }, select, remove, save));
  return { element, refresh };
}

function wholeNumber(label, value, set, { min, max, placeholder }) {
  return field(label, (id) => {
    const box = h('input', { type: 'number', id, min, max, step: 1, placeholder, value: value ?? '',
      onchange: () => set(box.value === '' ? null : Math.min(max, Math.max(min, Math.trunc(Number(box.value))))) });
    return box;
  });
}

function choice(label, value, values, text, set) {
  return field(label, (id) => {
    const select = h('select', { id, onchange: () => set(select.value) },
      values.map((name) => h('option', { value: name, selected: name === value }, text(name))));
    return select;
  });
}

function textBox(label, value, set, props = {}) {
  return field(label, (id) => {
    const area = h('textarea', { id, rows: 2, spellcheck: 'false', onchange: () => set(area.value), ...props });
    area.value = value ?? '';
    autoGrow(area);
    return area;
  });
}

/**
 * The panel's content for 'chat' or 'playground'. Fields show what they were given themselves; all is made anew only when many
 * settings change at once: a field that vanished under the pointer would swallow the click.
 */
export function tuningPanel(place, { extra = () => null } = {}) {
  const panel = h('div', { class: 'tuning' });
  let row = null;
  const change = (some) => {
    setPref(`settings.${place}`, { ...read(place), ...some });
    row.refresh();
  };
  const take = (some) => {
    change(some);
    render();
    panel.querySelector(`#preset-${place}`).focus();
  };
  const set = (name) => (value) => change({ [name]: value });
  const sliders = (settings) => settings.map((one) => slider(one, read(place).sampling[one.name],
    (value) => change({ sampling: { ...read(place).sampling, [one.name]: value } })));
  const more = (settings) => [
    sliders(SETTINGS.slice(2)),
    wholeNumber(t('settings.seed'), settings.seed, set('seed'), { min: 0, max: 2 ** 31 - 1, placeholder: t('settings.random') }),
    place === 'chat' && choice(t('settings.template'), settings.template, TEMPLATES,
      (name) => t(`settings.template.${name || 'auto'}`), set('template')),
    textBox(t('settings.stop'), settings.stop, set('stop'), { placeholder: t('settings.stop.hint') }),
    textBox(t('settings.grammar'), settings.grammar, set('grammar'), { placeholder: t('settings.grammar.hint'), class: 'mono' })];
  const render = () => {
    fieldPlace = place;
    fieldNumber = 0;
    row = presetRow(place, take);
    const settings = read(place);
    const open = panel.querySelector('details')?.open ?? false;
    fill(panel, extra(), row.element, sliders(SETTINGS.slice(0, 2)),
      wholeNumber(t('settings.max_tokens'), settings.maxTokens, set('maxTokens'), { min: 1, max: 1_000_000, placeholder: t('settings.auto') }),
      place === 'chat' && choice(t('settings.thinking'), settings.thinking, ['', 'on', 'off'],
        (name) => t(`settings.thinking.${name || 'auto'}`), set('thinking')),
      h('details', { open }, h('summary', {}, t('settings.more')), more(settings)),
      h('button', { type: 'button', class: 'quiet small', onclick: () => {
        setPref(`settings.${place}`, null);
        render();
      } }, t('settings.reset')));
  };
  render();
  return panel;
}

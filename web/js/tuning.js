// The settings of answers: presets, sliders, what stands before the first turn.
import { autoGrow, fill, h, iconButton } from './dom.js';
import { askText, confirmDialog } from './dialog.js';
import { t } from './i18n.js';
import { PRESETS, SETTINGS, presetNames, presetOf } from './presets.js';
import { onPref, pref, setPref } from './prefs.js';

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
  const own = Number.isFinite(value);
  const digits = String(step).split('.')[1]?.length ?? 0;
  const box = h('input', { type: 'number', id, min, max, step, value: own ? String(value) : '', placeholder: t('settings.auto'),
    onchange: () => set(box.value === '' ? null : Math.min(max, Math.max(min, Number(box.value)))) });
  const range = h('input', { type: 'range', min, max, step, value: String(own ? value : min), 'aria-label': t(`settings.${name}`),
    class: own ? null : 'unset',
    oninput: () => { box.value = Number(range.value).toFixed(digits); },
    onchange: () => set(Number(range.value)) });
  return h('div', { class: 'field slider' },
    h('label', { for: id, class: 'field-label', title: t(`settings.${name}.hint`) }, t(`settings.${name}`)), box, range);
}

function presetRow(place, settings, change) {
  const own = pref('presets', {});
  const current = presetOf(settings.sampling, own);
  const label = (name) => (name in PRESETS ? t(`preset.${name}`) : name);
  const select = h('select', { id: `preset-${place}`, onchange: () => {
    if (select.value) change({ sampling: { ...({ ...PRESETS, ...own })[select.value] } });
  } },
  current ? null : h('option', { value: '', selected: true }, t('preset.changed')),
  presetNames(own).map((name) => h('option', { value: name, selected: name === current }, label(name))));
  const save = async () => {
    const name = await askText(t('preset.save'), { label: t('preset.name') });
    if (name && !(name in PRESETS)) {
      setPref('presets', { ...own, [name]: settings.sampling });
      change({});
    }
  };
  const remove = async () => {
    if (!await confirmDialog(t('preset.delete'), label(current), t('delete'))) return;
    const { [current]: gone, ...rest } = own;
    setPref('presets', rest);
    change({});
  };
  return h('div', { class: 'field' },
    h('label', { for: `preset-${place}`, class: 'field-label' }, t('preset')),
    h('div', { class: 'row' }, select,
      current in own ? iconButton('trash', t('preset.delete'), remove) : null,
      current ? null : iconButton('plus', t('preset.save'), save)));
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

/** The panel's content for 'chat' or 'playground'; it renders itself anew when a setting changes. */
export function tuningPanel(place, { extra = () => null } = {}) {
  const panel = h('div', { class: 'tuning' });
  const render = () => {
    fieldPlace = place;
    fieldNumber = 0;
    const settings = read(place);
    const change = (some) => setPref(`settings.${place}`, { ...settings, ...some });
    const set = (name) => (value) => change({ [name]: value });
    const focused = panel.contains(document.activeElement) ? document.activeElement.id : '';
    const open = panel.querySelector('details')?.open ?? false;
    fill(panel,
      extra(),
      presetRow(place, settings, change),
      SETTINGS.slice(0, 2).map((one) => slider(one, settings.sampling[one.name],
        (value) => change({ sampling: { ...settings.sampling, [one.name]: value } }))),
      wholeNumber(t('settings.max_tokens'), settings.maxTokens, set('maxTokens'), { min: 1, max: 1_000_000, placeholder: t('settings.auto') }),
      place === 'chat' && choice(t('settings.thinking'), settings.thinking, ['', 'on', 'off'],
        (name) => t(`settings.thinking.${name || 'auto'}`), set('thinking')),
      h('details', { open }, h('summary', {}, t('settings.more')),
        SETTINGS.slice(2).map((one) => slider(one, settings.sampling[one.name],
          (value) => change({ sampling: { ...settings.sampling, [one.name]: value } }))),
        wholeNumber(t('settings.seed'), settings.seed, set('seed'), { min: 0, max: 2 ** 31 - 1, placeholder: t('settings.random') }),
        place === 'chat' && choice(t('settings.template'), settings.template, TEMPLATES,
          (name) => t(`settings.template.${name || 'auto'}`), set('template')),
        textBox(t('settings.stop'), settings.stop, set('stop'), { placeholder: t('settings.stop.hint') }),
        textBox(t('settings.grammar'), settings.grammar, set('grammar'), { placeholder: t('settings.grammar.hint'), class: 'mono' })),
      h('button', { type: 'button', class: 'quiet small', onclick: () => setPref(`settings.${place}`, null) }, t('settings.reset')));
    if (focused) document.getElementById(focused)?.focus();
  };
  render();
  const off = onPref(`settings.${place}`, () => (panel.isConnected ? render() : off()));
  return panel;
}

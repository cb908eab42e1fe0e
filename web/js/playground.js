// Any text, continued. What the model wrote shows how probable it was, and which other ways there were.
import { ApiFailure, listModels, stream } from './api.js';
import { fill, h, icon, iconButton } from './dom.js';
import { Reader, note } from './announce.js';
import { copyText } from './markdown.js';
import { doubt, piecesOf, visible } from './tokens.js';
import { number, percent } from './format.js';
import { playgroundSettings, tuningPanel } from './tuning.js';
import { pref, setPref } from './prefs.js';
import { samplingFields } from './presets.js';
import { t } from './i18n.js';
import { isSendKey } from './turn.js';

const TOP = 5;

class Playground {
  constructor() {
    this.pieces = [];
    this.control = null;
    this.input = h('textarea', { rows: 1, id: 'sheet', 'aria-label': t('play.text'), placeholder: t('play.placeholder'),
      spellcheck: 'false', onkeydown: (event) => {
        if (isSendKey(event) && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          this.go();
        }
      }, oninput: () => {
        setPref('sheet', this.input.value);
        this.#mirror();
        this.#updateBar();
      } });
    this.input.value = pref('sheet', '');
    this.copy = h('span', { 'aria-hidden': 'true' });
    this.written = h('span', { class: 'continued', role: 'group', 'aria-label': t('play.written'),
      onkeydown: (event) => this.#tokenKey(event) });
    this.written.classList.toggle('tinted', pref('tint', true));
    this.sheet = h('div', { class: 'sheet', onclick: (event) => { if (event.target === this.sheet) this.input.focus(); } },
      h('div', { class: 'sheet-body' }, this.input, h('div', { class: 'mirror' }, this.copy, this.written)));
    this.#mirror();
    this.bar = h('div', { class: 'play-bar' });
    this.error = h('div', {});
    this.model = h('select', { class: 'model-select', 'aria-label': t('chat.model'), onchange: () => setPref('model', this.model.value) });
    this.panel = h('aside', { class: 'panel', 'aria-label': t('settings'), hidden: true },
      h('header', {}, h('h2', {}, t('settings')), iconButton('close', t('close'), () => this.togglePanel())), tuningPanel('playground'));
    this.panel.hidden = !(pref('panel', false) && matchMedia('(min-width: 1200px)').matches);
    this.element = h('div', { class: 'playground' }, h('div', { class: 'page' },
      h('header', { class: 'view-head' }, h('h1', { class: 'view-title' }, t('view.playground')), this.model,
        iconButton('sliders', t('settings'), () => this.togglePanel())),
      h('div', { class: 'page-body' }, h('p', { class: 'page-intro' }, t('play.intro')), this.sheet, this.error, this.bar)), this.panel);
    this.#updateBar();
    this.#readModels();
  }

  async #readModels() {
    const models = await listModels().catch(() => []);
    fill(this.model, models.map((one) => h('option', { value: one.id, selected: one.id === pref('model') }, one.id)));
    this.model.disabled = models.length < 2;
  }

  // A line end at the very end would have no line of its own without something after it.
  #mirror() {
    this.copy.textContent = `${this.input.value}${this.pieces.length ? '' : '\u200b'}`;
  }

  togglePanel() {
    this.panel.hidden = !this.panel.hidden;
    setPref('panel', !this.panel.hidden);
    if (!this.panel.hidden) this.panel.querySelector('select, input').focus();
  }

  text() {
    return this.input.value + this.pieces.map((piece) => piece.text).join('');
  }

  #updateBar(facts = '') {
    const running = Boolean(this.control);
    const tint = h('input', { type: 'checkbox', id: 'tint', checked: pref('tint', true), onchange: () => {
      setPref('tint', tint.checked);
      this.written.classList.toggle('tinted', tint.checked);
    } });
    fill(this.bar,
      h('button', { type: 'button', class: 'primary', id: 'continue', disabled: !running && !this.text(),
        onclick: () => (running ? this.control.abort() : this.go()) },
      icon(running ? 'stop' : 'play'), t(running ? 'chat.stop' : this.pieces.length ? 'play.more' : 'play.continue')),
      !running && this.pieces.length > 0 && [
        h('button', { type: 'button', class: 'quiet', id: 'again', onclick: () => this.again() }, icon('retry'), t('play.again')),
        h('button', { type: 'button', class: 'quiet', id: 'merge', onclick: () => this.merge() }, icon('pen'), t('play.edit'))],
      !running && this.text() && iconButton('copy', t('code.copy'), async () => {
        await copyText(this.text());
        note(t('code.copied'));
      }),
      h('label', { class: 'check' }, tint, t('play.tint')),
      h('span', { class: 'facts' }, facts));
  }

  /** All that was written becomes text to edit. */
  merge() {
    this.input.value = this.text();
    setPref('sheet', this.input.value);
    this.#drop(0);
    this.input.focus();
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
    this.#updateBar();
  }

  again() {
    this.#drop(this.runStart ?? 0);
    this.go();
  }

  #drop(from) {
    this.pieces.splice(from);
    while (this.written.children.length > from) this.written.lastElementChild.remove();
    this.#mirror();
  }

  #add(piece) {
    const index = this.pieces.push(piece) - 1;
    const label = piece.p === null ? visible(piece.text) : t('play.token', { token: visible(piece.text), share: percent(piece.p) });
    const element = h('span', { class: 'token', tabindex: index ? '-1' : '0', role: 'button', title: label, 'aria-label': label,
      onclick: () => this.#showAlternatives(element, index),
      onpointerenter: (event) => { if (event.pointerType === 'mouse') this.#hoverLater(element, index); },
      onpointerleave: () => clearTimeout(this.hovering) }, piece.text);
    element.style.setProperty('--doubt', doubt(piece.p));
    this.written.append(element);
    if (!index) this.#mirror();
  }

  #hoverLater(element, index) {
    clearTimeout(this.hovering);
    if (this.control || element.classList.contains('open')) return;
    this.hovering = setTimeout(() => {
      if (element.isConnected) this.#showAlternatives(element, index, false);
    }, 220);
  }

  #tokenKey(event) {
    const all = [...this.written.children];
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const next = { ArrowRight: all[at + 1], ArrowLeft: all[at - 1], Home: all[0], End: all.at(-1) }[event.key];
    if (next) next.focus();
    else if (event.key === 'Enter' || event.key === ' ') this.#showAlternatives(all[at], at);
    else return;
    event.preventDefault();
  }

  #showAlternatives(element, index, focus = true) {
    const piece = this.pieces[index];
    clearTimeout(this.hovering);
    if (this.control || piece.p === null) return;
    this.closePopover?.();
    const popover = h('div', { class: 'popover', role: 'dialog', 'aria-label': t('play.alternatives') },
      h('p', {}, t('play.alternatives')),
      (piece.alternatives.length ? piece.alternatives : [piece]).map((one) => {
        const row = h('button', { type: 'button', class: one.text === piece.text ? 'alternative taken' : 'alternative',
          onclick: () => {
            close();
            this.takeAlternative(index, one.text);
          } }, h('code', {}, visible(one.text)), h('span', {}, percent(one.p)));
        row.style.setProperty('--share', Math.round(one.p * 100));
        return row;
      }));
    const near = (event) => popover.contains(event.target) || element.contains(event.target);
    const leave = (event) => { if (!near(event)) close(); };
    let leaving = 0;  // what a pointer opened by resting, it closes by going elsewhere
    const move = (event) => {
      clearTimeout(leaving);
      if (!focus && event.pointerType === 'mouse' && !near(event)) leaving = setTimeout(close, 300);
    };
    const key = (event) => {
      const rows = [...popover.querySelectorAll('button')];
      const at = rows.indexOf(document.activeElement);
      if (event.key === 'Escape') {
        close();
        element.focus();
      } else if (at >= 0 && event.key === 'ArrowDown') rows[(at + 1) % rows.length].focus();
      else if (at >= 0 && event.key === 'ArrowUp') rows[(at + rows.length - 1) % rows.length].focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    const close = () => {
      popover.remove();
      element.classList.remove('open');
      document.removeEventListener('pointerdown', leave, true);
      document.removeEventListener('keydown', key, true);
      document.removeEventListener('pointerover', move);
      clearTimeout(leaving);
      if (this.closePopover === close) this.closePopover = null;
    };
    this.closePopover = close;
    document.body.append(popover);
    element.classList.add('open');
    const place = element.getBoundingClientRect();
    const below = place.bottom + popover.offsetHeight + 10 < innerHeight;
    popover.style.top = `${below ? place.bottom + 6 : Math.max(8, place.top - popover.offsetHeight - 6)}px`;
    popover.style.left = `${Math.max(8, Math.min(place.left - 8, innerWidth - popover.offsetWidth - 8))}px`;
    document.addEventListener('pointerdown', leave, true);
    document.addEventListener('keydown', key, true);
    document.addEventListener('pointerover', move);
    if (focus) popover.querySelector('button').focus();
  }

  /** The text goes on from here with another token. */
  takeAlternative(index, text) {
    this.#drop(index);
    this.#add({ text, p: null, alternatives: [] });
    this.go(index);
  }

  async go(runStart = this.pieces.length) {
    if (this.control || !this.text()) return;
    this.closePopover?.();
    this.runStart = runStart;
    this.control = new AbortController();
    fill(this.error);
    this.#updateBar();
    const reader = new Reader();
    const settings = playgroundSettings();
    const body = { model: this.model.value || undefined, prompt: this.text(), logprobs: TOP,
      stream_options: { include_usage: true }, ...samplingFields(settings.sampling, settings) };
    if (settings.grammar?.trim()) body.grammar = settings.grammar;
    let facts = '';
    let first = 0;
    try {
      for await (const event of stream('/v1/completions', body, this.control.signal)) {
        first ||= performance.now();
        for (const choice of event.choices ?? []) for (const piece of piecesOf(choice)) this.#add(piece);
        reader.update(this.pieces.slice(runStart).map((piece) => piece.text).join(''));
        if (event.usage) {
          const seconds = (performance.now() - first) / 1000;
          facts = [t('turn.tokens', { tokens: number(event.usage.completion_tokens) }),
            seconds > 0.05 && t('turn.speed', { speed: number(event.usage.completion_tokens / seconds, 1) }),
            event.usage.prompt_tokens_details?.cached_tokens && t('turn.resumed', {
              cached: number(event.usage.prompt_tokens_details.cached_tokens), all: number(event.usage.prompt_tokens) }),
          ].filter(Boolean).join(' · ');
        }
      }
      note(t('chat.done'));
    } catch (error) {
      if (error.name !== 'AbortError') this.#showError(error);
    }
    this.control = null;
    this.#updateBar(facts);
  }

  #showError(error) {
    const text = error instanceof ApiFailure ? error.message : t('error.unreachable');
    fill(this.error, h('p', { class: 'error-line', role: 'alert' }, h('span', {}, text),
      h('button', { type: 'button', class: 'quiet small', onclick: () => this.go() }, icon('retry'), t('retry'))));
  }
}

export function playgroundView() {
  const play = new Playground();
  return {
    element: play.element,
    focus: () => play.input.focus(),
    escape: () => {
      if (!play.control) return false;
      play.control.abort();
      return true;
    },
    hidden: () => {
      clearTimeout(play.hovering);
      play.closePopover?.();
      play.control?.abort();
    },
  };
}

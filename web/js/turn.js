// One turn of a conversation on the page.
import { autoGrow, fill, h, icon, iconButton, throttle } from './dom.js';
import { MarkdownView, copyText } from './markdown.js';
import { t } from './i18n.js';
import { number } from './format.js';
import { place } from './tree.js';
import { pref } from './prefs.js';

const isSendKey = (event) => event.key === 'Enter' && !event.isComposing && event.keyCode !== 229 &&
  (event.ctrlKey || event.metaKey || (!event.shiftKey && pref('enterSends', matchMedia('(pointer: fine)').matches)));
export { isSendKey };

/** The facts below an answer: how fast, how much, what was not read again. */
function factsOf(turn) {
  const facts = [];
  const tokens = turn.tokens ?? turn.pieces;
  if (tokens && turn.seconds > 0.05) facts.push(t('turn.speed', { speed: number(tokens / turn.seconds, 1) }));
  if (turn.tokens) facts.push(t('turn.tokens', { tokens: number(turn.tokens) }));
  if (turn.cachedTokens) {
    facts.push(t('turn.resumed', { cached: number(turn.cachedTokens), all: number(turn.promptTokens) }));
  }
  if (turn.finish === 'length') facts.push(t('turn.cut'));
  if (turn.finish === 'stopped') facts.push(t('turn.stopped'));
  return facts;
}

function switcher(conversation, turn, actions) {
  const { index, count } = place(conversation, turn.id);
  if (count < 2) return null;
  return h('div', { class: 'switcher', role: 'group', 'aria-label': t('turn.versions') },
    iconButton('left', t('turn.previous'), () => actions.show(turn, -1), { disabled: index === 0 }),
    h('span', { 'aria-label': t('turn.version', { index: index + 1, count }) }, `${index + 1} / ${count}`),
    iconButton('right', t('turn.next'), () => actions.show(turn, 1), { disabled: index === count - 1 }));
}

/** `actions`: show, retry, goOn, edit, branch, remove. The element is updated by its `update` while the answer grows. */
export class TurnView {
  constructor(conversation, turn, actions) {
    Object.assign(this, { conversation, turn, actions });
    this.body = h('div', { class: turn.role === 'user' ? 'said' : 'answer' });
    this.thought = null;
    this.area = null;  // while the text is being edited
    this.foot = h('div', { class: 'turn-foot' });
    this.element = h('article', {
      class: `turn ${turn.role}`, data: { id: turn.id }, tabindex: '-1', 'aria-label': t(`turn.${turn.role}`),
    }, this.body, this.foot);
    this.markdown = turn.role === 'assistant' ? new MarkdownView(this.body) : null;
    this.paint = throttle(() => this.update(), 60);
    this.update();
  }

  /** The text that is being edited, or null. */
  get draft() {
    return this.area?.value ?? null;
  }

  update() {
    const { turn } = this;
    this.element.classList.toggle('running', Boolean(turn.running));
    this.element.setAttribute('aria-busy', String(Boolean(turn.running)));
    if (this.markdown) {
      this.#updateThinking();
      this.markdown.update(turn.text, !turn.running);
      this.body.hidden = !turn.text && !turn.running;
      this.body.classList.toggle('waiting', Boolean(turn.running) && !turn.text && !turn.thinking);
    } else {
      this.body.textContent = turn.text;
    }
    this.#updateFoot();
  }

  #updateThinking() {
    const { turn } = this;
    if (!turn.thinking) return;
    if (!this.thought) {
      this.thought = h('details', { class: 'thinking' }, h('summary', {}, icon('bulb'), h('span', {})), h('div', { class: 'thought' }));
      this.element.prepend(this.thought);
    }
    const thinking = turn.running && !turn.text;
    this.thought.classList.toggle('now', Boolean(thinking));
    this.thought.querySelector('span').textContent = t(thinking ? 'turn.thinking_now' : 'turn.thought');
    this.thought.lastElementChild.textContent = turn.thinking.trim();
  }

  #updateFoot() {
    const { turn, conversation, actions } = this;
    if (turn.running) {
      fill(this.foot, turn.pieces ? h('span', { class: 'facts' }, t('turn.speed', {
        speed: number(turn.pieces / Math.max(turn.seconds, 0.2), 1) })) : null);
      return;
    }
    const copy = iconButton('copy', t('code.copy'), async () => {
      await copyText(turn.text);
      copy.replaceChildren(icon('check'));
      setTimeout(() => copy.replaceChildren(icon('copy')), 1600);
    });
    fill(this.foot,
      turn.error && h('p', { class: 'error-line', role: 'alert' }, h('span', {}, turn.error.message),
        h('button', { type: 'button', class: 'quiet small', onclick: () => actions.retry(turn) }, icon('retry'), t('retry'))),
      turn.warning && h('p', { class: 'warning-line', role: 'status' }, turn.warning),
      switcher(conversation, turn, actions),
      ['length', 'stopped'].includes(turn.finish) && turn.text && h('button', { type: 'button', class: 'quiet small go-on',
        onclick: () => actions.goOn(turn) }, icon('play'), t('turn.go_on')),
      h('div', { class: 'turn-actions', role: 'toolbar', 'aria-label': t('turn.actions') },
        copy,
        turn.role === 'assistant' && iconButton('retry', t('turn.retry'), () => actions.retry(turn)),
        iconButton('pen', t('turn.edit'), () => this.edit()),
        iconButton('branch', t('turn.branch'), () => actions.branch(turn)),
        iconButton('trash', t('turn.remove'), () => actions.remove(turn))),
      h('span', { class: 'facts' }, factsOf(turn).map((fact) => h('span', {}, fact))));
  }

  /** A text field in place of the text; the result is a new branch, what stood there stays. */
  edit() {
    const area = h('textarea', { class: 'edit', rows: 1, 'aria-label': t('turn.edit'), onkeydown: (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        close();
      } else if (isSendKey(event)) {
        event.preventDefault();
        submit();
      }
    } });
    area.value = this.turn.text;
    const close = () => {
      form.replaceWith(this.body);
      this.area = null;
      this.foot.hidden = false;
      this.element.classList.remove('editing');
      this.element.focus();
    };
    const submit = () => {
      const text = area.value.trim();
      close();
      if (text && text !== this.turn.text.trim()) this.actions.edit(this.turn, text);
    };
    const form = h('div', { class: 'edit-form' }, area, h('div', { class: 'buttons' },
      h('button', { type: 'button', class: 'quiet', onclick: close }, t('cancel')),
      h('button', { type: 'button', class: 'primary', onclick: submit },
        t(this.turn.role === 'user' ? 'turn.send_branch' : 'turn.save_branch'))));
    this.body.replaceWith(form);
    this.area = area;
    this.foot.hidden = true;
    this.element.classList.add('editing');
    autoGrow(area);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}

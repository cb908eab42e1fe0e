// The conversation that is shown, and the field below it.
import { autoGrow, fill, h, icon, iconButton } from './dom.js';
import { Reader, note } from './announce.js';
import { answer, forgetState, goOn, isRunning, onProgress, stop } from './runner.js';
import { addTurn, branchAt, newConversation, place, removeTurn, shownPath, showSibling } from './tree.js';
import { getConversation, onChange, saveConversation } from './store.js';
import { TurnView, isSendKey } from './turn.js';
import { confirmDialog, toast } from './dialog.js';
import { listModels } from './api.js';
import { loadMarkdown } from './markdown.js';
import { pref, setPref } from './prefs.js';
import { t } from './i18n.js';
import { tuningPanel } from './tuning.js';

const NEAR_END = 80;  // pixels: a reader who is this near the end follows the stream

class ChatView {
  constructor(id) {
    this.conversation = (id && getConversation(id)) || newConversation({ model: pref('model', ''), system: pref('system', '') });
    this.views = new Map();
    this.reader = null;
    this.branching = false;
    this.models = [];
    this.turns = h('div', { class: 'turns' });
    this.scroller = h('div', { class: 'scroller', tabindex: '-1', onkeydown: (event) => this.#moveBetweenTurns(event) }, this.turns);
    this.jump = iconButton('down', t('chat.to_end'), () => this.#toEnd(true), { class: 'icon-button jump', hidden: true });
    this.scroller.addEventListener('scroll', () => this.#follow(), { passive: true });
    this.composer = this.#buildComposer();
    this.panel = this.#buildPanel();
    this.header = this.#buildHeader();
    this.element = h('div', { class: 'chat' }, h('section', { class: 'chat-main' }, this.header, this.scroller,
      h('div', { class: 'dock' }, this.jump, this.composer)), this.panel);
    this.atEnd = true;
    this.render();
    this.#readModels();
  }

  #buildHeader() {
    this.modelSelect = h('select', { class: 'model-select', 'aria-label': t('chat.model'), onchange: () => {
      this.conversation.model = this.modelSelect.value;
      setPref('model', this.modelSelect.value);
      if (getConversation(this.conversation.id)) saveConversation(this.conversation);
      this.render();
    } });
    this.title = h('h1', { class: 'view-title' });
    this.panelButton = iconButton('sliders', t('settings'), () => this.togglePanel(), { 'aria-controls': 'tuning' });
    return h('header', { class: 'view-head' }, this.title, this.modelSelect, this.panelButton);
  }

  async #readModels() {
    try {
      this.models = await listModels();
    } catch (error) {
      this.models = [];
      toast(error.message, { error: true, retry: () => this.#readModels() });
      return;
    }
    const known = this.models.some((model) => model.id === this.conversation.model);
    if (!known && this.models.length) this.conversation.model = this.models[0].id;
    fill(this.modelSelect, this.models.map((model) =>
      h('option', { value: model.id, selected: model.id === this.conversation.model }, model.id)));
    this.modelSelect.disabled = this.models.length < 2;
    if (!shownPath(this.conversation).length) this.render();
  }

  #buildPanel() {
    const system = () => {
      const area = h('textarea', { id: 'system', rows: 3, placeholder: t('settings.system.hint'), onchange: () => {
        this.conversation.system = area.value;
        setPref('system', area.value);
        if (getConversation(this.conversation.id)) saveConversation(this.conversation);
      } });
      area.value = this.conversation.system;
      autoGrow(area);
      return h('div', { class: 'field' }, h('label', { for: 'system', class: 'field-label' }, t('settings.system')), area);
    };
    const keep = h('input', { type: 'checkbox', id: 'keep', checked: pref('keepStates', true),
      onchange: () => setPref('keepStates', keep.checked) });
    const enter = h('input', { type: 'checkbox', id: 'enter', checked: pref('enterSends', matchMedia('(pointer: fine)').matches),
      onchange: () => {
        setPref('enterSends', enter.checked);
        this.#updateHint();
      } });
    const panel = h('aside', { class: 'panel', id: 'tuning', 'aria-label': t('settings'), hidden: true },
      h('header', {}, h('h2', {}, t('settings')), iconButton('close', t('close'), () => this.togglePanel(false))),
      tuningPanel('chat', { extra: system }),
      h('label', { class: 'check', title: t('settings.keep.hint') }, keep, t('settings.keep')),
      h('label', { class: 'check' }, enter, t('settings.enter')));
    panel.hidden = !(pref('panel', false) && matchMedia('(min-width: 1200px)').matches);
    panel.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        this.togglePanel(false);
      }
    });
    return panel;
  }

  togglePanel(show = this.panel.hidden) {
    this.panel.hidden = !show;
    this.panelButton.setAttribute('aria-expanded', String(show));
    setPref('panel', show);
    if (show) this.panel.querySelector('textarea, select, input').focus();
    else this.panelButton.focus();
  }

  #buildComposer() {
    this.input = h('textarea', { id: 'composer', rows: 1, placeholder: t('chat.placeholder'), 'aria-label': t('chat.placeholder'),
      enterkeyhint: 'send', onkeydown: (event) => this.#composerKey(event), oninput: () => this.#updateButton() });
    this.button = h('button', { type: 'submit', class: 'send' });
    this.grow = autoGrow(this.input);
    this.branchNote = h('p', { class: 'branch-note', hidden: true }, icon('branch'), h('span', {}, t('chat.branching')));
    this.hint = h('p', { class: 'composer-hint' });
    return h('form', { class: 'composer', onsubmit: (event) => {
      event.preventDefault();
      if (isRunning(this.conversation)) stop(this.conversation);
      else this.send();
    } }, this.branchNote, h('div', { class: 'composer-box' }, this.input, this.button), this.hint);
  }

  #updateHint() {
    this.hint.textContent = t(pref('enterSends', matchMedia('(pointer: fine)').matches) ? 'chat.hint_enter' : 'chat.hint_ctrl');
  }

  #composerKey(event) {
    if (isSendKey(event)) {
      event.preventDefault();
      if (!isRunning(this.conversation)) this.send();
    } else if (event.key === 'ArrowUp' && !this.input.value) {
      const last = shownPath(this.conversation).filter((turn) => turn.role === 'user').at(-1);
      if (!last || isRunning(this.conversation)) return;
      event.preventDefault();
      this.views.get(last.id)?.edit();
    }
  }

  #updateButton() {
    const running = isRunning(this.conversation);
    const label = t(running ? 'chat.stop' : 'chat.send');
    fill(this.button, icon(running ? 'stop' : 'send'));
    this.button.setAttribute('aria-label', label);
    this.button.title = label;
    this.button.classList.toggle('stop', running);
    this.button.disabled = !running && !this.input.value.trim();
  }

  #actions = {
    show: (turn, step) => {
      const next = showSibling(this.conversation, turn.id, step);
      if (next) this.#keepAndRender(next.id);
    },
    retry: (turn) => this.#retry(turn),
    goOn: (turn) => {
      this.reader = new Reader(turn.text.length);
      goOn(this.conversation, turn);
      this.#updateButton();
    },
    edit: (turn, text) => this.#edit(turn, text),
    branch: (turn) => {
      if (isRunning(this.conversation)) return;
      branchAt(this.conversation, turn.id);
      if (turn.role === 'user') {
        this.#run(turn.id);
        return;
      }
      this.branching = true;
      this.#keepAndRender();
      this.input.focus();
      note(t('chat.branching'));
    },
    remove: async (turn) => {
      if (!await confirmDialog(t('turn.remove'), t('turn.remove.text'), t('delete'))) return;
      stop(this.conversation);
      for (const gone of removeTurn(this.conversation, turn.id)) if (gone.state) forgetState(gone.state);
      this.#keepAndRender();
    },
  };

  #retry(turn) {
    if (isRunning(this.conversation)) return;
    if (turn.error && !turn.text) removeTurn(this.conversation, turn.id);  // nothing to keep
    this.#run(turn.parent);
  }

  #edit(turn, text) {
    if (isRunning(this.conversation)) return;
    const edited = addTurn(this.conversation, turn.parent, { role: turn.role, text, model: turn.model });
    if (turn.role === 'user') this.#run(edited.id);
    else this.#keepAndRender(edited.id);
  }

  #keepAndRender(focus = null) {
    saveConversation(this.conversation).catch(() => {});
    this.render();
    if (focus) this.views.get(focus)?.element.focus();
  }

  send(text = this.input.value) {
    if (!text.trim() || isRunning(this.conversation)) return;
    const fresh = !getConversation(this.conversation.id);
    const turn = addTurn(this.conversation, shownPath(this.conversation).at(-1)?.id ?? '', { role: 'user', text: text.trim() });
    this.input.value = '';
    this.grow();
    this.branching = false;
    this.atEnd = true;
    this.#run(turn.id);
    if (fresh) history.replaceState(null, '', `#/chat/${this.conversation.id}`);
  }

  #run(parent) {
    this.reader = new Reader();
    saveConversation(this.conversation).catch(() => {});
    answer(this.conversation, parent);
    this.render();
    this.#toEnd();
  }

  /** News of the answer that is being written. */
  progress(conversation, turn) {
    if (conversation.id !== this.conversation.id) return;
    const view = this.views.get(turn.id);
    if (!view) {
      this.render();
    } else if (turn.running) {
      view.paint();
    } else {
      view.paint.now();
      this.#updateButton();
      note(turn.error ? turn.error.message : t(turn.finish === 'stopped' ? 'turn.stopped' : 'chat.done'));
    }
    this.reader?.update(turn.text, !turn.running);
    if (this.atEnd) requestAnimationFrame(() => this.#toEnd());
  }

  /** Another window has changed the conversation. What is being written here stays. */
  changedElsewhere(id) {
    const newest = getConversation(id);
    if (id !== this.conversation.id || !newest) return;
    this.conversation = newest;
    const before = this.views;
    this.render();
    for (const [turn, { draft }] of before) {
      if (!draft || this.views.has(turn)) continue;  // else the turn is shown no more
      this.input.value = [this.input.value, draft].filter(Boolean).join('\n\n');
      this.grow();
      this.#updateButton();
    }
  }

  #follow() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.jump.hidden = this.atEnd;
  }

  #toEnd(smooth = false) {
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: smooth && !calm ? 'smooth' : 'instant' });
    this.atEnd = true;
    this.jump.hidden = true;
  }

  #moveBetweenTurns(event) {
    const turn = event.target.closest?.('.turn');
    if (!turn || event.target !== turn) return;
    const all = [...this.turns.querySelectorAll('.turn')];
    const at = all.indexOf(turn);
    const view = this.views.get(turn.dataset.id);
    const move = { ArrowUp: all[at - 1], ArrowDown: all[at + 1], Home: all[0], End: all.at(-1) }[event.key];
    if (move) move.focus();
    else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') this.#actions.show(view.turn, event.key === 'ArrowLeft' ? -1 : 1);
    else if (event.key === 'e') view.edit();
    else if (event.key === 'r' && view.turn.role === 'assistant') this.#retry(view.turn);
    else if (event.key === 'b') this.#actions.branch(view.turn);
    else return;
    event.preventDefault();
  }

  #welcome() {
    const model = this.models.find((one) => one.id === this.conversation.model);
    const kind = model?.tern?.template && model.tern.template !== 'none' ? 'ask' : 'story';
    return h('div', { class: 'welcome' }, h('img', { src: '/assets/icon.svg', alt: '', width: 72, height: 72 }),
      h('h2', {}, t('welcome.title')), h('p', {}, t(`welcome.${kind}`)),
      h('div', { class: 'suggestions' }, [1, 2, 3, 4].map((n) => {
        const text = t(`welcome.${kind}.${n}`);
        return h('button', { type: 'button', onclick: () => this.send(text) }, text);
      })));
  }

  render() {
    const path = shownPath(this.conversation);
    this.title.textContent = this.conversation.title || t('chat.new');
    document.title = `${this.conversation.title || t('chat.new')} – Tern`;
    this.branchNote.hidden = !this.branching;
    const old = this.views;
    this.views = new Map();
    for (const turn of path) {
      const kept = old.get(turn.id);
      const { count } = place(this.conversation, turn.id);
      const same = kept && (kept.draft !== null || (kept.count === count && kept.turn === turn));
      const view = same ? kept : new TurnView(this.conversation, turn, this.#actions);
      Object.assign(view, { conversation: this.conversation, turn, count });
      if (same) view.update();
      this.views.set(turn.id, view);
    }
    const focused = document.activeElement;
    const elements = path.map((turn) => this.views.get(turn.id).element);
    if (elements.length) elements.at(-1).tabIndex = 0;
    for (const element of elements.slice(0, -1)) element.tabIndex = -1;
    const now = [...this.turns.children];
    if (!elements.length) fill(this.turns, this.#welcome());
    else if (now.length !== elements.length || now.some((element, i) => element !== elements[i])) fill(this.turns, elements);
    if (focused !== document.activeElement && focused?.isConnected) focused.focus();  // it was moved, not removed
    this.#updateButton();
    this.#updateHint();
  }

  shown() {
    this.#toEnd();
    this.grow();
    if (matchMedia('(pointer: fine)').matches) this.input.focus();
  }

  /** Escape: stops the answer, else ends branching. True when there was something to do. */
  escape() {
    if (isRunning(this.conversation)) {
      stop(this.conversation);
      return true;
    }
    return false;
  }
}

let current = null;
onProgress((conversation, turn) => current?.progress(conversation, turn));
onChange((id, elsewhere) => { if (elsewhere) current?.changedElsewhere(id); });

export function chatView(id) {
  const view = new ChatView(id);
  current = view;
  loadMarkdown().catch(() => {});
  return {
    element: view.element,
    shown: () => view.shown(),
    escape: () => view.escape(),
    focus: () => view.input.focus(),
    hidden: () => { if (current === view) current = null; },
  };
}

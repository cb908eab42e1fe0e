// The kept states: places in texts that the service remembers for this key.
import { askText, confirmDialog, showDialog, showMenu, toast } from './dialog.js';
import { bytes, date, number } from './format.js';
import { download, request } from './api.js';
import { fill, h, iconButton, saveFile } from './dom.js';
import { listConversations, saveConversation } from './store.js';
import { newConversation } from './tree.js';
import { showFailure, simplePage } from './page.js';
import { t } from './i18n.js';

// Which conversation of this browser ends a branch at that state, if any.
const holderOf = (state) => listConversations().find((conversation) =>
  conversation.base === state.id || Object.values(conversation.nodes).some((node) => node.state === state.id));

const path = (state, rest = '') => `/v1/states/${encodeURIComponent(state.id)}${rest}`;

class States {
  constructor() {
    const { element, body } = simplePage('states', iconButton('retry', t('states.reload'), () => this.load(), { id: 'reload' }));
    Object.assign(this, { element, body });
  }

  async load() {
    try {
      const list = await request('/v1/states');
      this.render(list.data ?? list);
    } catch (error) {
      showFailure(this.body, error, () => this.load());
    }
  }

  // Does something and shows the list anew; a failure is one line with a retry.
  async #act(run, done) {
    try {
      await run();
      if (done) toast(done);
    } catch (error) {
      toast(error.message, { error: true, retry: () => this.#act(run, done) });
    }
    await this.load();
  }

  async #open(state) {
    let whole;
    try {
      whole = await request(path(state));
    } catch (error) {
      toast(error.message, { error: true, retry: () => this.#open(state) });
      return;
    }
    showDialog(state.note || t('states.state'), () => [
      h('p', { class: 'hint' }, t('states.text_of', { tokens: number(state.tokens) })),
      h('div', { class: 'state-text', tabindex: '0' }, whole.text ?? '')], { wide: true });
  }

  async #fork(state) {
    const note = await askText(t('states.fork'), { label: t('states.note'), value: state.note ?? '', action: t('states.fork') });
    if (note !== null) this.#act(() => request(path(state, '/fork'), { method: 'POST', body: note ? { note } : {} }), t('states.forked'));
  }

  async #rollback(state) {
    const answer = await askText(t('states.rollback'), {
      label: t('states.rollback.label', { tokens: number(state.tokens) }), value: String(Math.max(1, state.tokens - 1)),
      action: t('states.rollback'),
    });
    if (answer === null) return;
    const tokens = Number(answer);
    if (!Number.isInteger(tokens) || tokens < 1 || tokens > state.tokens) {
      toast(t('states.rollback.range', { tokens: number(state.tokens) }), { error: true });
      return;
    }
    this.#act(() => request(path(state, '/rollback'), { method: 'POST', body: { tokens } }), t('states.rolled_back'));
  }

  async #delete(state) {
    if (!await confirmDialog(t('states.delete'), t('states.delete.text'), t('delete'))) return;
    this.#act(() => request(path(state), { method: 'DELETE' }), t('states.deleted'));
  }

  async #download(state) {
    try {
      saveFile(`${state.id}.safetensors`, await download(path(state, '/file')));
    } catch (error) {
      toast(error.message, { error: true, retry: () => this.#download(state) });
    }
  }

  async #chatFrom(state) {
    let base = state;
    try {
      // A conversation cannot be read again without the state that it begins at, so that state must stay.
      if (state.evictable) base = await request(path(state, '/fork'), { method: 'POST', body: {} });
    } catch (error) {
      toast(error.message, { error: true, retry: () => this.#chatFrom(state) });
      return;
    }
    const conversation = newConversation({ model: state.model, base: base.id });
    if (base !== state) conversation.ownsBase = true;  // the fork goes with the conversation
    conversation.title = state.note || t('states.state');
    await saveConversation(conversation).catch(() => {});
    location.hash = `#/chat/${conversation.id}`;
  }

  #row(state) {
    const holder = holderOf(state);
    const menu = iconButton('more', t('states.menu', { state: state.note || state.id }), () => showMenu(menu, [
      [t('states.chat'), () => this.#chatFrom(state)],
      [t('states.fork'), () => this.#fork(state)],
      [t('states.rollback'), () => this.#rollback(state)],
      [t('states.download'), () => this.#download(state)],
      [t('delete'), () => this.#delete(state), { danger: true }]]), { 'aria-haspopup': 'menu' });
    return h('tr', { data: { state: state.id } },
      h('td', {}, h('div', { class: 'state-note' },
        holder ? h('a', { href: `#/chat/${holder.id}` }, state.note || holder.title) : state.note || t('states.unnamed')),
        h('div', { class: 'state-id' }, state.id, state.parent && ` ← ${state.parent}`)),
      h('td', { class: 'number' }, t('turn.tokens', { tokens: number(state.tokens) })),
      h('td', { class: 'number' }, bytes(state.bytes), ' ', h('span', { class: 'badge' }, t(state.in_memory ? 'states.memory' : 'states.disk')),
        state.evictable && h('span', { class: 'badge', title: t('states.evictable.text') }, t('states.evictable'))),
      h('td', { class: 'number' }, date((state.used || state.created) * 1000)),
      h('td', {}, h('div', { class: 'row' }, iconButton('eye', t('states.read'), () => this.#open(state)), menu)));
  }

  render(states) {
    if (!states.length) {
      fill(this.body, h('p', { class: 'empty' }, t('states.none')));
      return;
    }
    const newest = [...states].sort((a, b) => (b.used || b.created) - (a.used || a.created));
    fill(this.body, h('table', { class: 'list-table' },
      h('caption', { class: 'sr-only' }, t('view.states')),
      h('thead', {}, h('tr', {}, [['states.state'], ['states.length', 'number'], ['states.size', 'number'], ['states.used', 'number']]
        .map(([key, kind]) => h('th', { scope: 'col', class: kind ?? null }, t(key))), h('th', { scope: 'col' }, h('span', { class: 'sr-only' }, t('turn.actions'))))),
      h('tbody', {}, newest.map((state) => this.#row(state)))));
  }
}

export function statesView() {
  const states = new States();
  return { element: states.element, shown: () => states.load() };
}

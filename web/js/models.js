// What is loaded, what it takes, how fast it is.
import { bytes, count, date, number } from './format.js';
import { facts, showFailure, simplePage, watchStatus } from './page.js';
import { fill, h } from './dom.js';
import { listModels, request } from './api.js';
import { toast } from './dialog.js';
import { t } from './i18n.js';

const speed = (value) => (Number.isFinite(value) ? t('turn.speed', { speed: number(value, 1) }) : '–');

function modelFacts(model) {
  const { engine = {}, cache } = model;
  const running = model.loaded;
  return facts([
    [t('models.generation'), model.generation && `RWKV-${String(model.generation).replace(/^rwkv-?/i, '')}`],
    [t('models.parameters'), model.parameters && count(model.parameters)],
    [t('models.shape'), model.layers && t('models.shape.value', { layers: model.layers, width: model.width })],
    [t('models.type'), model.type],
    [t('models.vocabulary'), model.vocabulary && [number(model.vocabulary), model.tokenizer].filter(Boolean).join(' · ')],
    [t('models.template'), model.template],
    [t('models.weights'), model.weight_bytes && bytes(model.weight_bytes)],
    [t('models.memory'), running && model.memory_bytes ? bytes(model.memory_bytes) : null],
    [t('models.state'), model.state_bytes && bytes(model.state_bytes)],
    [t('models.reading'), running ? speed(engine.tokens_per_second_prompt) : null],
    [t('models.writing'), running ? speed(engine.tokens_per_second_generated) : null],
    [t('models.cache'), running && cache
      ? t('models.cache.value', { states: number(cache.states), memory: bytes(cache.memory_bytes) }) : null],
    [t('models.since'), running && model.loaded_at ? date(model.loaded_at * 1000) : null],
    [t('models.file'), model.path_name],
  ]);
}

// Made once and updated: a button that is made anew every few seconds would lose clicks and the focus.
class ModelCard {
  #busy = false;

  constructor(id, change) {
    this.badge = h('span', {});
    this.details = h('div', {});
    this.button = h('button', { type: 'button', class: 'quiet small', onclick: async () => {
      this.#busy = true;
      this.button.disabled = true;
      this.button.textContent = t('models.working');
      await change(id, this.loaded ? 'unload' : 'load');
      this.#busy = false;
      this.#label();
    } });
    this.element = h('section', { class: 'card', data: { model: id } },
      h('div', { class: 'card-head' }, h('h2', {}, id), this.badge, this.button), this.details);
  }

  #label() {
    if (this.#busy) return;
    this.button.disabled = !this.admin;
    this.button.title = this.admin ? '' : t('models.admin');
    this.button.textContent = t(this.loaded ? 'models.unload' : 'models.load');
  }

  /** `admin`: whether this page's key may load and unload models. */
  update(model, admin) {
    this.admin = admin;
    this.loaded = model.loaded;
    this.badge.className = model.loaded ? 'badge on' : 'badge';
    this.badge.textContent = t(model.loaded ? 'models.loaded' : 'models.not_loaded');
    fill(this.details, modelFacts(model));
    this.#label();
  }
}

const tile = ([label, value, small]) => h('div', { class: 'tile' }, h('dt', {}, label),
  h('dd', {}, value ?? '–', small && [' ', h('small', {}, small)]));

const machineTiles = ({ machine = {}, process = {}, version }) => [
  [t('models.machine'), machine.threads && t('models.threads', { threads: machine.threads }), machine.level],
  [t('models.available'), bytes(machine.available_bytes), t('models.of', { all: bytes(machine.memory_bytes) })],
  [t('models.resident'), bytes(process.resident_bytes), ''],
  [t('models.version'), version, ''],
].map(tile);

class Models {
  #cards = new Map();
  #tiles = h('dl', { class: 'tiles' });
  #processor = h('p', { class: 'page-intro' });
  #list = h('div', { class: 'cards' });

  constructor() {
    Object.assign(this, simplePage('models'));
  }

  render(status) {
    if (!this.#list.isConnected) fill(this.body, this.#tiles, this.#processor, this.#list);
    fill(this.#tiles, machineTiles(status));
    this.#processor.textContent = status.machine?.cpu ?? '';
    for (const model of status.models ?? []) {
      if (!this.#cards.has(model.id)) {
        this.#cards.set(model.id, new ModelCard(model.id, (id, what) => this.#change(id, what)));
        this.#list.append(this.#cards.get(model.id).element);
      }
      this.#cards.get(model.id).update(model, status.admin !== false);
    }
  }

  async #change(id, what) {
    try {
      await request(`/v1/models/${encodeURIComponent(id)}/${what}`, { method: 'POST' });
      toast(t(`models.${what}.done`, { model: id }));
      await listModels(true);
      this.render(await request('/v1/status'));
    } catch (error) {
      toast(error.message, { error: true, retry: () => this.#change(id, what) });
    }
  }

  start() {
    this.end = watchStatus(3000, (status) => this.render(status), (error) => {
      this.end();
      showFailure(this.body, error, () => this.start());
    });
  }
}

export function modelsView() {
  const models = new Models();
  return { element: models.element, shown: () => models.start(), hidden: () => models.end?.() };
}

// What is loaded, what it takes, how fast it is.
import { bytes, count, date, number } from './format.js';
import { facts, showFailure, simplePage, watchStatus } from './page.js';
import { fill, h } from './dom.js';
import { listModels, request } from './api.js';
import { toast } from './dialog.js';
import { t } from './i18n.js';

const speed = (value) => (Number.isFinite(value) ? t('turn.speed', { speed: number(value, 1) }) : '–');

function modelCard(model, change) {
  const tern = { ...model, ...model.tern };
  const action = h('button', { type: 'button', class: 'quiet small', onclick: async () => {
    action.disabled = true;
    action.textContent = t('models.working');
    await change(model.id, model.loaded ? 'unload' : 'load');
  } }, t(model.loaded ? 'models.unload' : 'models.load'));
  const engine = model.engine ?? {};
  return h('section', { class: 'card', data: { model: model.id } },
    h('div', { class: 'card-head' }, h('h2', {}, model.id),
      h('span', { class: model.loaded ? 'badge on' : 'badge' }, t(model.loaded ? 'models.loaded' : 'models.not_loaded')), action),
    facts([
      [t('models.generation'), tern.generation && `RWKV-${String(tern.generation).replace(/^rwkv-?/i, '')}`],
      [t('models.parameters'), tern.parameters && count(tern.parameters)],
      [t('models.shape'), tern.layers && t('models.shape.value', { layers: tern.layers, width: tern.width })],
      [t('models.type'), tern.type],
      [t('models.vocabulary'), tern.vocabulary && `${number(tern.vocabulary)}${tern.tokenizer ? ` · ${tern.tokenizer}` : ''}`],
      [t('models.template'), tern.template],
      [t('models.weights'), tern.weight_bytes && bytes(tern.weight_bytes)],
      [t('models.memory'), model.loaded && tern.memory_bytes ? bytes(tern.memory_bytes) : null],
      [t('models.state'), tern.state_bytes && bytes(tern.state_bytes)],
      [t('models.reading'), model.loaded && 'tokens_per_second_prompt' in engine ? speed(engine.tokens_per_second_prompt) : null],
      [t('models.writing'), model.loaded && 'tokens_per_second_generated' in engine ? speed(engine.tokens_per_second_generated) : null],
      [t('models.cache'), model.loaded && model.cache ? t('models.cache.value', {
        states: number(model.cache.states), memory: bytes(model.cache.memory_bytes) }) : null],
      [t('models.since'), model.loaded && tern.loaded_at ? date(tern.loaded_at * 1000) : null],
      [t('models.file'), tern.path_name],
    ]));
}

export function modelsView() {
  const { element, body } = simplePage('models');
  const change = async (id, what) => {
    try {
      await request(`/v1/models/${encodeURIComponent(id)}/${what}`, { method: 'POST' });
      toast(t(`models.${what}.done`, { model: id }));
    } catch (error) {
      toast(error.message, { error: true, retry: () => change(id, what) });
    }
    await listModels(true).catch(() => {});
    render(await request('/v1/status').catch(() => last));
  };
  let last = null;
  const render = (status) => {
    last = status;
    if (!status || body.querySelector('button:disabled')?.isConnected === true && status !== last) return;
    const { machine = {}, process = {} } = status;
    const focused = body.contains(document.activeElement) ? document.activeElement.closest('[data-model]')?.dataset.model : null;
    fill(body,
      h('dl', { class: 'tiles' }, [
        [t('models.machine'), machine.threads && t('models.threads', { threads: machine.threads }), machine.level],
        [t('models.available'), bytes(machine.available_bytes), t('models.of', { all: bytes(machine.memory_bytes) })],
        [t('models.resident'), bytes(process.resident_bytes), ''],
        [t('models.version'), status.version, ''],
      ].map(([label, value, small]) => h('div', { class: 'tile' }, h('dt', {}, label),
        h('dd', {}, value ?? '–', small && [' ', h('small', {}, small)])))),
      machine.cpu && h('p', { class: 'page-intro' }, machine.cpu),
      h('div', { class: 'cards' }, (status.models ?? []).map((model) => modelCard(model, change))));
    if (focused) body.querySelector(`[data-model="${CSS.escape(focused)}"] button`)?.focus();
  };
  let end = null;
  return {
    element,
    shown: () => {
      const start = () => { end = watchStatus(3000, render, (error) => showFailure(body, error, start)); };
      start();
    },
    hidden: () => end?.(),
  };
}

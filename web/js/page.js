// What the models, metrics and states views share.
import { fill, h, icon } from './dom.js';
import { request } from './api.js';
import { t } from './i18n.js';

/** A page with a title and an introduction; returns {element, body, head}. */
export function simplePage(name, ...tools) {
  const body = h('div', {});
  const head = h('header', { class: 'view-head' }, h('h1', { class: 'view-title' }, t(`view.${name}`)), tools);
  const element = h('div', { class: 'page' }, head,
    h('div', { class: 'page-body' }, h('p', { class: 'page-intro' }, t(`${name}.intro`)), body));
  return { element, body, head };
}

export function showFailure(body, error, again) {
  fill(body, h('p', { class: 'error-line', role: 'alert' }, h('span', {}, error.message),
    h('button', { type: 'button', class: 'quiet small', onclick: again }, icon('retry'), t('retry'))));
}

/** Asks for /v1/status every `period` milliseconds, but only while the page can be seen. Returns what ends it. */
export function watchStatus(period, take, fail) {
  let timer = 0;
  let ended = false;
  const ask = async () => {
    clearTimeout(timer);
    if (ended || document.visibilityState !== 'visible') return;
    try {
      const status = await request('/v1/status');
      if (!ended) take(status);
    } catch (error) {
      if (!ended) fail(error);
    }
    if (!ended) {
      clearTimeout(timer);
      timer = setTimeout(ask, period);
    }
  };
  document.addEventListener('visibilitychange', ask);
  ask();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', ask);
  };
}

export const facts = (pairs) => h('dl', { class: 'facts-grid' },
  pairs.filter(([, value]) => value !== null && value !== undefined && value !== '').map(([label, value]) =>
    h('div', {}, h('dt', {}, label), h('dd', {}, value))));

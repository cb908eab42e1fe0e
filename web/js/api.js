// Talking to the service that the page came from.
import { t } from './i18n.js';
import { pref } from './prefs.js';
import { EventStreamParser } from './sse.js';

/** An answer that is none: `status` 0 when the server could not be reached. */
export class ApiFailure extends Error {
  constructor(message, { status = 0, code = null, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

let askForKey = async () => false;
/** `ask` shows the entry of a key and resolves to whether there is a new one. */
export const onUnauthorized = (ask) => { askForKey = ask; };

async function failureOf(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch { /* not ours: a proxy's page */ }
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  return new ApiFailure(error.message || t('error.status', { status: response.status }),
    { status: response.status, code: error.code, retryAfter });
}

async function send(path, { method = 'GET', body, signal }, key) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  try {
    return await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiFailure(t('error.unreachable'));
  }
}

async function open(path, options = {}) {
  for (;;) {
    const key = pref('key');
    const response = await send(path, options, key);
    if (response.ok) return response;
    if (response.status !== 401) throw await failureOf(response);
    // Another request may have asked for the key in the meantime.
    if (pref('key') === key && !await askForKey(Boolean(key))) throw await failureOf(response);
  }
}

export async function request(path, options) {
  const response = await open(path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const download = async (path) => (await open(path)).blob();

/** The events of a stream, parsed, until [DONE]. An error in mid-stream is thrown. */
export async function* stream(path, body, signal) {
  const response = await open(path, { method: 'POST', body: { ...body, stream: true }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventStreamParser();
  try {
    for (;;) {
      let chunk;
      try {
        chunk = await reader.read();
      } catch (error) {
        if (error.name === 'AbortError') throw error;
        throw new ApiFailure(t('error.broken_off'));
      }
      if (chunk.done) throw new ApiFailure(t('error.broken_off'));
      for (const data of parser.push(chunk.value)) {
        if (data === '[DONE]') return;
        const event = JSON.parse(data);
        if (event.error) throw new ApiFailure(event.error.message, { status: 500, code: event.error.code });
        yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// The models change rarely: asked for once, and again when the model page has changed something.
let models = null;
export function listModels(again = false) {
  if (!models || again) {
    models = request('/v1/models').then((list) => list.data);
    models.catch(() => { models = null; });
  }
  return models;
}

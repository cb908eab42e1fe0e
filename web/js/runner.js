// Answers being written. They go on when another conversation or view is shown.
import { request, stream } from './api.js';
import { addTurn, messagesTo, outgrownStates, resumeFrom, stateKey } from './tree.js';
import { getConversation, saveConversation } from './store.js';
import { samplingFields } from './presets.js';
import { chatSettings } from './tuning.js';
import { pref } from './prefs.js';
import { t } from './i18n.js';

const running = new Map();  // by conversation
const listeners = new Set();

/** `listener(conversation, turn)` hears of every piece, and once more when the answer has ended. */
export const onProgress = (listener) => { listeners.add(listener); };
const tell = (conversation, turn) => { for (const listener of listeners) listener(conversation, turn); };

export const isRunning = (conversation) => running.has(conversation.id);
export const stop = (conversation) => running.get(conversation.id)?.abort();

function requestBody(conversation, settings) {
  const body = {
    model: conversation.model || undefined, stream_options: { include_usage: true },
    ...samplingFields(settings.sampling, settings),
  };
  if (pref('keepStates', true)) body.keep_state = 'evictable';  // a page that nobody opens again must not fill the service
  if (settings.template) body.template = settings.template;
  if (settings.thinking) body.thinking = settings.thinking === 'on';
  if (settings.grammar?.trim()) body.grammar = settings.grammar;
  return body;
}

function take(turn, event, clock) {
  const choice = event.choices?.[0];
  const delta = choice?.delta ?? {};
  if (delta.content || delta.reasoning_content) {
    clock.first ??= performance.now();
    clock.pieces += 1;
  }
  if (delta.reasoning_content) turn.thinking = (turn.thinking ?? '') + delta.reasoning_content;
  if (delta.content) turn.text += delta.content;
  if (choice?.finish_reason) turn.finish = choice.finish_reason;
  const state = choice?.state ?? event.state;
  if (typeof state === 'string') turn.state = state;
  // The answer is complete without its state: the next turn sends the text again.
  if (choice?.state_warning) turn.warning = choice.state_warning.message;
  if (event.usage) {
    turn.promptTokens = event.usage.prompt_tokens;
    turn.cachedTokens = event.usage.prompt_tokens_details?.cached_tokens ?? 0;
    turn.tokens = event.usage.completion_tokens;
  }
  if (clock.first) turn.seconds = (performance.now() - clock.first) / 1000;
  turn.pieces = clock.pieces;
}

// Goes on at the nearest kept state; when the service has it no more, reads the whole conversation.
async function* events(conversation, turn, body, key, signal) {
  const chat = '/v1/chat/completions';
  const before = turn.text;  // of an answer that was cut: messages that end with an answer ask for its completion
  const last = before ? turn.id : turn.parent;
  const resume = resumeFrom(conversation, last, key);
  if (resume?.messages.length) {
    try {
      yield* stream(chat, { ...body, state: resume.state, messages: resume.messages }, signal);
      return;
    } catch (error) {
      if (error.status !== 404 || turn.text !== before) throw error;
      if (resume.turn) delete resume.turn.state;
      else {
        delete conversation.base;
        turn.warning = t('turn.base_gone');
      }
    }
  }
  yield* stream(chat, { ...body, messages: messagesTo(conversation, last) }, signal);
}

// One that was deleted meanwhile stays so.
async function save(conversation, options) {
  if (getConversation(conversation.id)) await saveConversation(conversation, options).catch(() => {});
}

export const forgetState = (id) => request(`/v1/states/${encodeURIComponent(id)}`, { method: 'DELETE' }).catch(() => {});

/** Writes an answer to the turn `parent`. Never throws: what went wrong stands in the turn. */
export async function answer(conversation, parent) {
  if (isRunning(conversation)) return;
  await write(conversation, addTurn(conversation, parent, { role: 'assistant', model: conversation.model }));
}

/** Completes an answer that was stopped or cut at the limit of tokens. */
export async function goOn(conversation, turn) {
  if (isRunning(conversation)) return;
  if (turn.state) forgetState(turn.state);
  for (const name of ['error', 'finish', 'state', 'stateKey', 'seconds', 'warning']) delete turn[name];
  await write(conversation, turn);
}

async function write(conversation, turn) {
  const settings = chatSettings();
  const key = stateKey(conversation, settings.template);
  const control = new AbortController();
  const clock = { first: null, pieces: 0 };
  turn.running = true;
  running.set(conversation.id, control);
  tell(conversation, turn);
  let saved = performance.now();
  try {
    for await (const event of events(conversation, turn, requestBody(conversation, settings), key, control.signal)) {
      take(turn, event, clock);
      tell(conversation, turn);
      if (performance.now() - saved > 3000) {
        saved = performance.now();
        await save(conversation, { quiet: true });
      }
    }
    if (turn.state) turn.stateKey = key;
  } catch (error) {
    if (error.name === 'AbortError') turn.finish = 'stopped';
    else turn.error = { message: error.message, status: error.status ?? 0 };
  }
  delete turn.running;
  delete turn.pieces;
  conversation.updated = Date.now();
  running.delete(conversation.id);
  tell(conversation, turn);
  const unneeded = turn.state ? takeUnneededStates(conversation, turn) : [];
  await save(conversation);
  for (const id of unneeded) await forgetState(id);
}

// The states that an answer with a state makes unneeded: its own when the turn or its conversation was deleted meanwhile.
function takeUnneededStates(conversation, turn) {
  if (!getConversation(conversation.id) || !conversation.nodes[turn.id]) return [turn.state];
  return outgrownStates(conversation).map((node) => {
    const id = node.state;
    delete node.state;
    return id;
  });
}

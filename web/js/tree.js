// A conversation is a tree of turns: a new answer or an edited question is a sibling of the one before, and nothing is lost.
// Pure: plain objects in, plain objects changed.

const ROOT = '';

const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(36).padStart(2, '0')).join('');

/** `base`: the id of a kept state that it goes on from. */
export function newConversation({ model = '', system = '', base = '' } = {}, now = Date.now()) {
  return { id: newId(), title: '', created: now, updated: now, model, system, ...(base && { base }), nodes: {}, chosen: {} };
}

/** Adds a turn under `parent` (a turn's id, or '' for the beginning) and makes it the one that is shown. */
export function addTurn(conversation, parent, turn, now = Date.now()) {
  const node = { id: newId(), parent: parent || ROOT, role: 'user', text: '', created: now, ...turn };
  conversation.nodes[node.id] = node;
  conversation.chosen[node.parent] = node.id;
  conversation.updated = now;
  if (!conversation.title && node.role === 'user') conversation.title = titleOf(node.text);
  return node;
}

export function titleOf(text) {
  const line = text.trim().split('\n')[0].replace(/\s+/g, ' ');
  const letters = Array.from(line);
  return letters.length > 60 ? `${letters.slice(0, 58).join('').trimEnd()}…` : line;
}

export function children(conversation, parent) {
  return Object.values(conversation.nodes).filter((node) => node.parent === (parent || ROOT));
}

/** The turns that are shown, first to last. */
export function shownPath(conversation) {
  const turns = [];
  let id = conversation.chosen[ROOT];
  while (id && conversation.nodes[id]) {
    turns.push(conversation.nodes[id]);
    id = conversation.chosen[id];
  }
  return turns;
}

/** From the first turn to this one, whatever is shown. */
function pathTo(conversation, id) {
  const turns = [];
  for (let node = conversation.nodes[id]; node; node = conversation.nodes[node.parent]) turns.unshift(node);
  return turns;
}

/** {index, count} of a turn among those that stand in its place. */
export function place(conversation, id) {
  const all = children(conversation, conversation.nodes[id].parent);
  return { index: all.findIndex((node) => node.id === id), count: all.length };
}

/** Shows the sibling that is `step` further; returns it, or null at the ends. */
export function showSibling(conversation, id, step) {
  const parent = conversation.nodes[id].parent;
  const all = children(conversation, parent);
  const next = all[all.findIndex((node) => node.id === id) + step];
  if (!next) return null;
  conversation.chosen[parent] = next.id;
  return next;
}

/** The shown path ends at this turn: what is written next begins a new branch there. */
export function branchAt(conversation, id) {
  let node = conversation.nodes[id];
  conversation.chosen[id] = null;
  for (; node; node = conversation.nodes[node.parent]) conversation.chosen[node.parent] = node.id;
}

/** Removes a turn and all that follows it in any branch; a neighbour is shown instead. Returns what was removed. */
export function removeTurn(conversation, id) {
  const { parent } = conversation.nodes[id];
  const { index } = place(conversation, id);
  const removed = [];
  const drop = (gone) => {
    for (const child of children(conversation, gone)) drop(child.id);
    removed.push(conversation.nodes[gone]);
    delete conversation.nodes[gone];
    delete conversation.chosen[gone];
  };
  drop(id);
  const left = children(conversation, parent);
  conversation.chosen[parent] = left.length ? left[Math.min(index, left.length - 1)].id : null;
  return removed;
}

/** What a model is sent to answer after turn `id`: everything so far. */
export function messagesTo(conversation, id) {
  const messages = conversation.system.trim() ? [{ role: 'system', content: conversation.system }] : [];
  for (const node of pathTo(conversation, id)) {
    if (node.role === 'user' || node.text) messages.push({ role: node.role, content: node.text });
  }
  return messages;
}

/** What makes a kept state fit: a state that has read another system prompt would answer as if it still held. */
export const stateKey = (conversation, template) => JSON.stringify([conversation.model, conversation.system.trim(), template]);

/**
 * The nearest answer before `id` whose state is kept, or the state that the whole conversation began at, and the messages
 * after it; null when there is neither.
 */
export function resumeFrom(conversation, id, key) {
  const path = pathTo(conversation, id);
  const at = path.findLastIndex((node) => node.state && node.stateKey === key);
  const state = at < 0 ? conversation.base : path[at].state;
  if (!state) return null;
  const later = path.slice(at + 1).filter((node) => node.role === 'user' || node.text);
  return { state, turn: path[at] ?? null, messages: later.map(({ role, text }) => ({ role, content: text })) };
}

/** Turns whose state nobody needs any more: no branch ends or parts there, and a later state has read all they have. */
export function outgrownStates(conversation) {
  const holdsLater = (node) => children(conversation, node.id).some((child) => child.state || holdsLater(child));
  const parts = (node) => {
    const next = children(conversation, node.id);
    return next.length > 1 || (next.length === 1 && children(conversation, next[0].id).length > 1);
  };
  return Object.values(conversation.nodes).filter((node) => node.state && holdsLater(node) && !parts(node));
}

/** Whether all words of the query stand in the title or in any turn. */
export function matches(conversation, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const text = [conversation.title, ...Object.values(conversation.nodes).map((node) => node.text)].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}

// Conversations as a file. Pure.
const FORMAT = 'tern-conversations';

/** States stay behind: they belong to one server and one key. */
export function exportText(conversations, now = new Date()) {
  const plain = conversations.map(({ base, ...conversation }) => ({
    ...conversation,
    nodes: Object.fromEntries(Object.entries(conversation.nodes).map(([id, node]) => {
      const { state, stateKey, running, ...rest } = node;
      return [id, rest];
    })),
  }));
  return JSON.stringify({ format: FORMAT, version: 1, exported: now.toISOString(), conversations: plain }, null, 1);
}

const string = (value, limit = 1 << 24) => (typeof value === 'string' ? value.slice(0, limit) : '');
const time = (value) => (Number.isFinite(value) ? value : Date.now());

function readTurn(id, node, ids) {
  if (!node || typeof node !== 'object' || !['user', 'assistant'].includes(node.role)) return null;
  const turn = {
    id, parent: ids.has(node.parent) ? node.parent : '', role: node.role, text: string(node.text), created: time(node.created),
  };
  if (node.thinking) turn.thinking = string(node.thinking);
  if (node.model) turn.model = string(node.model, 200);
  if (node.finish) turn.finish = string(node.finish, 40);
  for (const name of ['seconds', 'promptTokens', 'cachedTokens', 'tokens']) {
    if (Number.isFinite(node[name])) turn[name] = node[name];
  }
  return turn;
}

// Turns that lead to the beginning; others (a circle, made by hand) would never end.
function rooted(nodes) {
  const good = new Set(['']);
  const check = (id, seen) => {
    if (good.has(id)) return true;
    if (seen.has(id) || !nodes[id]) return false;
    seen.add(id);
    const ok = check(nodes[id].parent, seen);
    if (ok) good.add(id);
    return ok;
  };
  return Object.fromEntries(Object.entries(nodes).filter(([id]) => check(id, new Set())));
}

function readConversation(value) {
  if (!value || typeof value !== 'object' || typeof value.id !== 'string' || !value.nodes || typeof value.nodes !== 'object') {
    return null;
  }
  const ids = new Set(Object.keys(value.nodes));
  const turns = Object.entries(value.nodes).map(([id, node]) => [id, readTurn(id, node, ids)]).filter(([, node]) => node);
  const nodes = rooted(Object.fromEntries(turns));
  const chosen = {};
  for (const [parent, child] of Object.entries(value.chosen ?? {})) {
    if (nodes[child]?.parent === parent) chosen[parent] = child;
  }
  for (const node of Object.values(nodes)) chosen[node.parent] ??= node.id;
  return {
    id: string(value.id, 100), title: string(value.title, 400), created: time(value.created), updated: time(value.updated),
    model: string(value.model, 200), system: string(value.system), nodes, chosen,
  };
}

/** Reads such a file. Throws an Error whose message is a key of the page's texts. */
export function importText(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('import.not_json');
  }
  if (value?.format !== FORMAT || !Array.isArray(value.conversations)) throw new Error('import.not_ours');
  if (value.version !== 1) throw new Error('import.newer');
  return value.conversations.map(readConversation).filter(Boolean);
}

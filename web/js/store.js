// Conversations in IndexedDB. All are held in memory: a search reads them all anyway.
const NAME = 'tern';
const STORE = 'conversations';

let database = null;
const conversations = new Map();
const listeners = new Set();
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('tern.conversations') : null;

const promised = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** Reads what is there. Where the browser has no storage (a private window), conversations last as long as the page. */
export async function openStore() {
  try {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: 'id' });
    database = await promised(opening);
    for (const conversation of await promised(database.transaction(STORE).objectStore(STORE).getAll())) {
      conversations.set(conversation.id, atRest(conversation));
    }
  } catch {
    database = null;
  }
  channel?.addEventListener('message', ({ data: id }) => takeOver(id).catch(() => {}));
}

// As it was saved, perhaps in the middle of an answer that this window is not writing.
function atRest(conversation) {
  for (const node of Object.values(conversation.nodes)) delete node.running;
  return conversation;
}

// Another window's change. A conversation that is being answered here only gains the other's turns; saved, it has both.
async function takeOver(id) {
  const found = database && await promised(database.transaction(STORE).objectStore(STORE).get(id));
  const own = conversations.get(id);
  const writing = own && Object.values(own.nodes).some((node) => node.running);
  if (!found) conversations.delete(id);
  else if (writing) own.nodes = { ...atRest(found).nodes, ...own.nodes };
  else conversations.set(id, atRest(found));
  changed(id, true);
}

/** `listener(id, elsewhere)`: `elsewhere` when it was another window's change. */
export const onChange = (listener) => { listeners.add(listener); };
const changed = (id, elsewhere = false) => { for (const listener of listeners) listener(id, elsewhere); };

/** The last used first. */
export const listConversations = () => [...conversations.values()].sort((a, b) => b.updated - a.updated);
export const getConversation = (id) => conversations.get(id) ?? null;

async function write(run) {
  if (!database) return;
  const transaction = database.transaction(STORE, 'readwrite');
  run(transaction.objectStore(STORE));
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** `quiet`: a stream's progress, which the list need not hear of. */
export async function saveConversation(conversation, { quiet = false } = {}) {
  conversations.set(conversation.id, conversation);
  if (!quiet) changed(conversation.id);
  await write((store) => store.put(conversation));
  if (!quiet) channel?.postMessage(conversation.id);
}

export async function deleteConversation(id) {
  conversations.delete(id);
  changed(id);
  await write((store) => store.delete(id));
  channel?.postMessage(id);
}

// Conversations in IndexedDB. All are held in memory: a search reads them all anyway.
const NAME = 'tern';
const STORE = 'conversations';
const UNSAVED = 'tern.unsaved.';  // + id, in localStorage: what IndexedDB had no time for when the page was left

let database = null;
const writes = new Map();  // id: how many of its writes are under way
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
  await takeUnsaved();
  addEventListener('pagehide', keepUnsaved);
  addEventListener('pageshow', (event) => { if (event.persisted) dropUnsaved(); });  // the page goes on, and saves as always
  channel?.addEventListener('message', ({ data: id }) => takeOver(id).catch(() => {}));
}

// As it was saved, perhaps in the middle of an answer that this window is not writing.
function atRest(conversation) {
  for (const node of Object.values(conversation.nodes)) delete node.running;
  return conversation;
}

const beingWritten = (conversation) => Object.values(conversation.nodes).some((node) => node.running);

// A page that is left waits for nothing, and its unfinished transactions are undone: answers that are still being written and
// writes under way go to localStorage, which is done at once. A deleted conversation is null there.
function keepUnsaved() {
  const answered = [...conversations.values()].filter(beingWritten).map((conversation) => conversation.id);
  for (const id of new Set([...writes.keys(), ...answered])) {
    try {
      localStorage.setItem(UNSAVED + id, JSON.stringify(getConversation(id)));
    } catch { /* no room, or no storage: it is as it was last saved */ }
  }
}

function unsavedKeys() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(UNSAVED));
  } catch {
    return [];
  }
}

function dropUnsaved() {
  for (const key of unsavedKeys()) localStorage.removeItem(key);
}

async function takeUnsaved() {
  for (const key of unsavedKeys()) {
    const id = key.slice(UNSAVED.length);
    try {
      const unsaved = JSON.parse(localStorage.getItem(key));
      if (unsaved) await saveConversation(joined(getConversation(id), stopped(unsaved)));
      else await deleteConversation(id);
    } catch { /* it stays as it was last saved */ }
    localStorage.removeItem(key);
  }
}

// Who wrote its answer has left.
function stopped(conversation) {
  for (const node of Object.values(conversation.nodes)) if (node.running) node.finish = 'stopped';
  return atRest(conversation);
}

// Another window may have changed it since.
function joined(stored, unsaved) {
  if (!stored || stored.updated <= unsaved.updated) return unsaved;
  return { ...stored, nodes: { ...stored.nodes, ...unsaved.nodes } };
}

// Another window's change. A conversation that is being answered here only gains the other's turns; saved, it has both.
async function takeOver(id) {
  const found = database && await promised(database.transaction(STORE).objectStore(STORE).get(id));
  const own = conversations.get(id);
  const writing = own && beingWritten(own);
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

async function write(id, run) {
  if (!database) return;
  writes.set(id, (writes.get(id) ?? 0) + 1);
  try {
    const transaction = database.transaction(STORE, 'readwrite');
    run(transaction.objectStore(STORE));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    if (writes.get(id) > 1) writes.set(id, writes.get(id) - 1);
    else writes.delete(id);
  }
}

/** `quiet`: a stream's progress, which the list need not hear of. */
export async function saveConversation(conversation, { quiet = false } = {}) {
  conversations.set(conversation.id, conversation);
  if (!quiet) changed(conversation.id);
  await write(conversation.id, (store) => store.put(conversation));
  if (!quiet) channel?.postMessage(conversation.id);
}

export async function deleteConversation(id) {
  conversations.delete(id);
  changed(id);
  await write(id, (store) => store.delete(id));
  channel?.postMessage(id);
}

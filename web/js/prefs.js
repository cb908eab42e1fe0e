// What the browser remembers beside conversations: small things, in localStorage.
const PREFIX = 'tern.';
const memory = new Map();  // when the browser refuses storage

export function pref(name, fallback = null) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? memory.get(name) ?? fallback : JSON.parse(text);
  } catch {
    return memory.get(name) ?? fallback;
  }
}

export function setPref(name, value) {
  memory.set(name, value);
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch { /* kept until the page is left */ }
}

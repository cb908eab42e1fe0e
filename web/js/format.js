// Numbers for people. Pure; the language comes from the caller or the page.
let locale = 'en';
export const setLocale = (language) => { locale = language; };

/** A text with its {names} filled in. {name:one|many} is the word for that number, where the language has two. */
export const fillIn = (text, values) => text.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (whole, name, one, many) =>
  !(name in values) ? whole : one === undefined ? values[name] : String(values[name]) === '1' ? one : many);

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(locale, { maximumFractionDigits: digits, minimumFractionDigits: 0 }).format(value ?? 0);

export function bytes(value) {
  if (!Number.isFinite(value)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let amount = value;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    ++unit;
  }
  return `${number(amount, amount < 10 && unit ? 2 : amount < 100 && unit ? 1 : 0)} ${units[unit]}`;
}

/** 1.5 B, 169 M … of parameters. */
export const count = (value) =>
  Number.isFinite(value) ? new Intl.NumberFormat(locale, { notation: 'compact', maximumSignificantDigits: 3 }).format(value) : '–';

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => s >= size);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2)
    .map(([size, name], i) => [Math.floor((i ? s % parts[first][0] : s) / size), name])
    .filter(([amount], i) => amount || !i).map(([amount, name]) => `${amount} ${name}`).join(' ');
}

export const percent = (share) =>
  new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share);

export const date = (milliseconds) =>
  new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(milliseconds);

/** How many days before today a moment was: 0 today, 1 yesterday … */
export function daysAgo(milliseconds, now = Date.now()) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  return milliseconds >= midnight ? 0 : Math.ceil((midnight - milliseconds) / 86_400_000);
}

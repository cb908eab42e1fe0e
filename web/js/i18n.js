// The page's texts. English is complete; a text that another language lacks is shown in English.
import { fillIn, setLocale } from './format.js';
import { pref, setPref } from './prefs.js';

export const LANGUAGES = { en: 'English', zh: '中文' };
let texts = {};

export function language() {
  const chosen = pref('language');
  if (chosen in LANGUAGES) return chosen;
  return navigator.languages?.some((name) => name.toLowerCase().startsWith('zh')) &&
    !navigator.languages[0].toLowerCase().startsWith('en') ? 'zh' : 'en';
}

export async function loadTexts() {
  const name = language();
  const read = async (file) => (await fetch(`/assets/i18n/${file}.json`)).json();
  const [english, own] = await Promise.all([read('en'), name === 'en' ? {} : read(name)]);
  texts = { ...english, ...own };
  document.documentElement.lang = name;
  setLocale(name);
}

export function setLanguage(name) {
  setPref('language', name);
}

/** t('turn.tokens', {tokens: 3}): the text, its {names} filled in. */
export function t(key, values = {}) {
  return fillIn(texts[key] ?? key, values);
}

// How texts are sampled: sets of settings by name, and what a request says of them. Pure.

/** Every setting, with the range that its control offers. `null` in a set of settings: the service's own value. */
export const SETTINGS = [
  { name: 'temperature', min: 0, max: 2, step: 0.05 },
  { name: 'top_p', min: 0, max: 1, step: 0.01 },
  { name: 'top_k', min: 0, max: 200, step: 1 },
  { name: 'min_p', min: 0, max: 0.5, step: 0.01 },
  { name: 'presence_penalty', min: -2, max: 2, step: 0.05 },
  { name: 'frequency_penalty', min: -2, max: 2, step: 0.05 },
  { name: 'penalty_decay', min: 0.9, max: 1, step: 0.001 },
];

export const PRESETS = {
  balanced: { temperature: 1, top_p: 0.3, presence_penalty: 0.5, frequency_penalty: 0.5, penalty_decay: 0.996 },
  lively: { temperature: 1.2, top_p: 0.5, presence_penalty: 0.4, frequency_penalty: 0.4, penalty_decay: 0.996 },
  story: { temperature: 1, top_p: 0.85, presence_penalty: 0.2, frequency_penalty: 0.2, penalty_decay: 0.996 },
  exact: { temperature: 0 },
  plain: {},
};

export const presetNames = (own = {}) => [...Object.keys(PRESETS), ...Object.keys(own)];

/** The name of the preset with just these settings, or '' when they are nobody's. */
export function presetOf(sampling, own = {}) {
  const same = (preset) => SETTINGS.every(({ name }) => (preset[name] ?? null) === (sampling[name] ?? null));
  return Object.entries({ ...PRESETS, ...own }).find(([, preset]) => same(preset))?.[0] ?? '';
}

/** Texts to stop at, one per line, with \n written as such. */
export const stopTexts = (text) =>
  (text ?? '').split('\n').filter(Boolean).map((line) => line.replaceAll('\\n', '\n')).slice(0, 16);

/** The part of a request that the settings decide. */
export function samplingFields(sampling, { maxTokens = null, seed = null, stop = '' } = {}) {
  const fields = {};
  for (const { name } of SETTINGS) if (Number.isFinite(sampling[name])) fields[name] = sampling[name];
  if (Number.isInteger(maxTokens) && maxTokens > 0) fields.max_tokens = maxTokens;
  if (Number.isInteger(seed)) fields.seed = seed;
  const stops = stopTexts(stop);
  if (stops.length) fields.stop = stops;
  return fields;
}

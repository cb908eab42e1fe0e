// The languages whose code is highlighted: the file's name (as highlight.js calls it) and the other names people write after
// ```. The build cuts exactly these out of the library (cmake/Page.cmake reads this table line by line).
export const LANGUAGES = {
  bash: 'sh shell zsh console',
  cpp: 'c c++ cc h hpp cxx',
  cs: 'csharp c#',
  css: '',
  diff: 'patch',
  dockerfile: 'docker',
  go: 'golang',
  haskell: 'hs',
  ini: 'toml conf',
  java: '',
  javascript: 'js jsx mjs node',
  json: 'json5 jsonl',
  julia: 'jl',
  kotlin: 'kt',
  lua: '',
  makefile: 'make mk',
  markdown: 'md',
  perl: 'pl',
  php: '',
  python: 'py python3',
  r: '',
  ruby: 'rb',
  rust: 'rs',
  scala: '',
  scheme: 'racket',
  scss: 'sass',
  sql: 'sqlite postgresql mysql',
  swift: '',
  tex: 'latex',
  typescript: 'ts tsx',
  xml: 'html svg xhtml vue',
  yaml: 'yml',
};

// What a language is built from.
const NEEDS = { xml: ['css', 'javascript'], markdown: ['xml'], php: ['xml'] };

const byName = new Map();
for (const [name, others] of Object.entries(LANGUAGES)) {
  byName.set(name, name);
  for (const other of others.split(' ')) if (other) byName.set(other, name);
}

/** The files to load for what stands after ```, in order, the language itself last; empty for one that is not there. */
export function languageFiles(label) {
  const name = byName.get(String(label).trim().toLowerCase());
  return name ? [...(NEEDS[name] ?? []), name] : [];
}

// The page's modules that need no browser.
import { webcrypto } from 'node:crypto';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';

import { EventStreamParser } from '../../web/js/sse.js';
import * as tree from '../../web/js/tree.js';
import { exportText, importText } from '../../web/js/transfer.js';
import { PRESETS, presetOf, samplingFields, stopTexts } from '../../web/js/presets.js';
import { doubt, piecesOf, visible } from '../../web/js/tokens.js';
import { bytes, count, daysAgo, duration, fillIn, percent } from '../../web/js/format.js';
import { History, cachedShare } from '../../web/js/history.js';
import { languageFiles } from '../../web/js/languages.js';

globalThis.crypto ??= webcrypto;  // node 18 has it under this name only

const web = new URL('../../web/', import.meta.url);

test('events come out whole, wherever the stream was cut', () => {
  const stream = ': hello\r\ndata: {"a":"é"}\r\n\r\nevent: x\ndata: one\ndata:two\n\ndata\n\ndata: [DONE]\n\n';
  const expected = ['{"a":"é"}', 'one\ntwo', '', '[DONE]'];
  for (let size = 1; size <= stream.length; ++size) {
    const parser = new EventStreamParser();
    const events = [];
    for (let i = 0; i < stream.length; i += size) events.push(...parser.push(stream.slice(i, i + size)));
    assert.deepEqual(events, expected, `in pieces of ${size}`);
  }
});

test('half an event is not one', () => {
  const parser = new EventStreamParser();
  assert.deepEqual(parser.push('data: half'), []);
  assert.deepEqual(parser.push('\n'), []);
  assert.deepEqual(parser.push('\n'), ['half']);
});

function talk() {
  const conversation = tree.newConversation({ model: 'm', system: 'Be kind.' });
  const q1 = tree.addTurn(conversation, '', { role: 'user', text: 'Hello there' });
  const a1 = tree.addTurn(conversation, q1.id, { role: 'assistant', text: 'Hi' });
  const q2 = tree.addTurn(conversation, a1.id, { role: 'user', text: 'How are you?' });
  const a2 = tree.addTurn(conversation, q2.id, { role: 'assistant', text: 'Well' });
  return { conversation, q1, a1, q2, a2 };
}
const shown = (conversation) => tree.shownPath(conversation).map((turn) => turn.text);

test('a branch is a sibling, and nothing is lost', () => {
  const { conversation, q2, a2 } = talk();
  const again = tree.addTurn(conversation, q2.id, { role: 'assistant', text: 'Splendid' });
  assert.deepEqual(shown(conversation), ['Hello there', 'Hi', 'How are you?', 'Splendid']);
  assert.deepEqual(tree.place(conversation, again.id), { index: 1, count: 2 });
  assert.equal(tree.showSibling(conversation, again.id, -1), a2);
  assert.deepEqual(shown(conversation).at(-1), 'Well');
  assert.equal(tree.showSibling(conversation, a2.id, -1), null);
});

test('a branch begun at a turn ends the shown path there', () => {
  const { conversation, a1 } = talk();
  tree.branchAt(conversation, a1.id);
  assert.deepEqual(shown(conversation), ['Hello there', 'Hi']);
  const other = tree.addTurn(conversation, a1.id, { role: 'user', text: 'Another way' });
  assert.deepEqual(tree.place(conversation, other.id), { index: 1, count: 2 });
});

test('removing a turn removes what follows it and shows a neighbour', () => {
  const { conversation, q2, a2 } = talk();
  const again = tree.addTurn(conversation, q2.id, { role: 'assistant', text: 'Splendid' });
  assert.deepEqual(tree.removeTurn(conversation, again.id), [again]);
  assert.equal(shown(conversation).at(-1), 'Well');
  assert.deepEqual(tree.removeTurn(conversation, q2.id).map((turn) => turn.id), [a2.id, q2.id]);
  assert.deepEqual(shown(conversation), ['Hello there', 'Hi']);
});

test('the messages of a path, and only what is new after a kept state', () => {
  const { conversation, q2, a1 } = talk();
  assert.deepEqual(tree.messagesTo(conversation, q2.id).map((message) => message.role), ['system', 'user', 'assistant', 'user']);
  const key = tree.stateKey(conversation, '');
  assert.equal(tree.resumeFrom(conversation, q2.id, key), null);
  Object.assign(a1, { state: 'st_1', stateKey: key });
  const resume = tree.resumeFrom(conversation, q2.id, key);
  assert.equal(resume.state, 'st_1');
  assert.deepEqual(resume.messages, [{ role: 'user', content: 'How are you?' }]);
  conversation.system = 'Be brief.';
  assert.equal(tree.resumeFrom(conversation, q2.id, tree.stateKey(conversation, '')), null, 'a state that read another system prompt');
});

test('states are kept where branches end and part, not between', () => {
  const { conversation, a1, a2, q2 } = talk();
  a1.state = 'st_1';
  assert.deepEqual(tree.outgrownStates(conversation), []);
  a2.state = 'st_2';
  assert.deepEqual(tree.outgrownStates(conversation), [a1]);
  tree.addTurn(conversation, q2.id, { role: 'assistant', text: 'Splendid', state: 'st_3' });
  assert.deepEqual(tree.outgrownStates(conversation), [], 'both answers began at st_1');
});

test('titles are short and search finds all words in any turn', () => {
  const { conversation } = talk();
  assert.equal(conversation.title, 'Hello there');
  assert.equal(Array.from(tree.titleOf('鸟'.repeat(100))).length, 59);
  assert.ok(tree.matches(conversation, 'WELL hello'));
  assert.ok(!tree.matches(conversation, 'hello goodbye'));
});

test('an exported conversation comes back without its states', () => {
  const { conversation, a2 } = talk();
  Object.assign(a2, { state: 'st_2', stateKey: 'k', tokens: 5, thinking: 'Hm.' });
  const text = exportText([conversation]);
  assert.ok(!text.includes('st_2'));
  const [back] = importText(text);
  assert.deepEqual(shown(back), shown(conversation));
  assert.equal(back.nodes[a2.id].thinking, 'Hm.');
  assert.equal(back.system, 'Be kind.');
});

test('import refuses what is not ours and survives what is damaged', () => {
  assert.throws(() => importText('nonsense'), /import\.not_json/);
  for (const value of ['null', '[]', '{}', '{"format":"tern-conversations"}']) assert.throws(() => importText(value), /import\.not_ours/);
  assert.throws(() => importText('{"format":"tern-conversations","version":2,"conversations":[]}'), /import\.newer/);
  const damaged = (conversation) => importText(JSON.stringify({ format: 'tern-conversations', version: 1, conversations: [conversation] }));
  assert.deepEqual(damaged(null), []);
  assert.deepEqual(damaged({ id: 3, nodes: {} }), []);
  const circle = damaged({ id: 'x', nodes: { a: { role: 'user', parent: 'b', text: 1 }, b: { role: 'user', parent: 'a' }, c: { role: 'x' } } });
  assert.deepEqual(circle[0].nodes, {});
  const orphan = damaged({ id: 'x', nodes: { a: { role: 'user', parent: 'gone', text: 'hi' } }, chosen: { '': 'nobody' } });
  assert.deepEqual(shown(orphan[0]), ['hi']);
});

test('requests say what is set and nothing else', () => {
  assert.deepEqual(samplingFields({}), {});
  assert.deepEqual(samplingFields({ temperature: 0, top_p: null }, { maxTokens: 5, seed: 0, stop: 'END\n\\n\\nUser' }),
    { temperature: 0, max_tokens: 5, seed: 0, stop: ['END', '\n\nUser'] });
  assert.deepEqual(stopTexts(''), []);
  assert.equal(presetOf({ ...PRESETS.balanced }), 'balanced');
  assert.equal(presetOf({ temperature: 0.123 }), '');
  assert.equal(presetOf({ temperature: 0.123 }, { mine: { temperature: 0.123 } }), 'mine');
});

test('tokens with their probabilities, and parts of characters together', () => {
  const logprobs = { tokens: [' a', 'b'], token_logprobs: [Math.log(0.5), Math.log(0.25)], top_logprobs: [{ ' a': Math.log(0.5), ' the': Math.log(0.4) }, null] };
  const [first, second] = piecesOf({ text: ' ab', logprobs });
  assert.equal(first.text, ' a');
  assert.deepEqual(first.alternatives.map((one) => one.text), [' a', ' the']);
  assert.deepEqual(second.alternatives.map((one) => one.text), ['b']);
  const parts = piecesOf({ text: '鸟', logprobs: { tokens: ['bytes:\\xe9\\xb8', 'bytes:\\x9f'], token_logprobs: [-1, -1] } });
  assert.equal(parts.length, 1);
  assert.ok(Math.abs(parts[0].p - Math.exp(-2)) < 1e-12);
  assert.deepEqual(piecesOf({ text: '' }), []);
  assert.deepEqual(piecesOf({ text: 'x' }), [{ text: 'x', p: null, alternatives: [] }]);
  assert.equal(doubt(1), 0);
  assert.equal(doubt(null), 0);
  assert.equal(doubt(1e-9), 100);
  assert.equal(visible(' a\n'), '␣a⏎');
});

test('figures are written for people', () => {
  assert.equal(bytes(0), '0 B');
  assert.equal(bytes(1536), '1.5 KiB');
  assert.equal(bytes(undefined), '–');
  assert.equal(count(191_000_000), '191M');
  assert.equal(duration(3725), '1 h 2 min');
  assert.equal(duration(0.2), '0 s');
  assert.equal(percent(0.063), '6.3%');
  const noon = new Date(2026, 5, 10, 12).getTime();
  assert.deepEqual([0, 11, 13, 36, 37].map((hours) => daysAgo(noon - hours * 3_600_000, noon)), [0, 0, 1, 1, 2]);
});

test('texts are filled in, with the word that fits the number', () => {
  assert.equal(fillIn('{a} and {b}, {c}', { a: 1, b: 'two' }), '1 and two, {c}');
  const text = '{n} {n:token|tokens}';
  assert.deepEqual(['1', 1, '0', '2', '1,000', '11'].map((n) => fillIn(text, { n })),
    ['1 token', '1 token', '0 tokens', '2 tokens', '1,000 tokens', '11 tokens']);
  assert.equal(fillIn('{n} 个词元', { n: 1 }), '1 个词元');
});

test('the metrics keep their last rows and add up models', () => {
  const history = new History(3);
  for (let i = 0; i < 5; ++i) {
    history.add({ models: [{ engine: { writing: i, prompt_tokens: 10, cached_tokens: 5 } }, { engine: { writing: 1 } }] }, i * 1000);
  }
  assert.deepEqual(history.rows.map((row) => row.running), [3, 4, 5]);
  assert.deepEqual(history.seconds(), [-2, -1, 0]);
  assert.equal(cachedShare(history.last()), 0.5);
  assert.equal(cachedShare({ prompt: 0, cached: 0 }), 0);
});

test('names of languages lead to files', () => {
  assert.deepEqual(languageFiles('C++'), ['cpp']);
  assert.deepEqual(languageFiles('html'), ['css', 'javascript', 'xml']);
  assert.deepEqual(languageFiles('constructor'), []);
  assert.deepEqual(languageFiles(''), []);
});

// WCAG 2: the relative luminance of #rrggbb.
const luminance = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255)
  .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);

test('text can be read on every ground, light and dark', () => {
  const style = readFileSync(new URL('style.css', web), 'utf8');
  const colors = new Map([...style.matchAll(/--([a-z-]+): light-dark\((#\w{6}), (#\w{6})\)/g)].map(([, name, ...pair]) => [name, pair]));
  const contrast = (ink, ground, theme) => {
    const [a, b] = [colors.get(ink)[theme], colors.get(ground)[theme]].map(luminance).sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const pairs = ['ink', 'soft', 'faint', 'sea', 'accent'].flatMap((ink) => ['paper', 'side', 'raised', 'code'].map((ground) => [ink, ground]));
  for (const [ink, ground] of [...pairs, ['ink', 'said'], ['ink', 'hover'], ['soft', 'hover'], ['ink', 'accent-soft'], ['accent-ink', 'accent']]) {
    for (const theme of [0, 1]) {
      assert.ok(contrast(ink, ground, theme) >= 4.5, `${ink} on ${ground}, ${['light', 'dark'][theme]}: ${contrast(ink, ground, theme).toFixed(2)}`);
    }
  }
});

test('every text that the page asks for is there in every language', () => {
  const texts = (name) => JSON.parse(readFileSync(new URL(`i18n/${name}.json`, web), 'utf8'));
  const english = texts('en');
  const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const other of ['zh']) {
    const own = texts(other);
    assert.deepEqual(Object.keys(own).sort(), Object.keys(english).sort(), other);
    for (const [key, text] of Object.entries(own)) assert.deepEqual(places(text), places(english[key]), `${other}: ${key}`);
  }
  const sources = readdirSync(new URL('js/', web)).map((file) => readFileSync(new URL(`js/${file}`, web), 'utf8')).join('\n');
  const asked = [...sources.matchAll(/\bt\('([\w.-]+)'/g)].map((match) => match[1]);
  assert.ok(asked.length > 100);
  for (const key of asked) assert.ok(key in english, `${key} has no text`);
  const patterns = [...sources.matchAll(/\bt\(`([\w.-]*(?:\$\{[^}`]*\}[\w.-]*)+)`/g)].map(([, text]) =>
    new RegExp(`^${text.split(/\$\{[^}]*\}/).map((part) => part.replaceAll('.', '\\.')).join('.+')}$`));
  for (const key of Object.keys(english)) {
    assert.ok(sources.includes(`'${key}'`) || patterns.some((pattern) => pattern.test(key)), `${key} is used nowhere`);
  }
});

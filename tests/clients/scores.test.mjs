// The requests of an evaluation harness against `tern serve` and its sums against `tern eval`: three sets of
// questions and the last words of passages, with the bundled model. TERN_TESTDATA holds eval/*.jsonl.
// TERN_SCORES: how many examples of each file (24 when absent).
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const data = path.join(process.env.TERN_TESTDATA ?? '', 'eval');
const examples = Number(process.env.TERN_SCORES ?? 24);
const model = process.env.TERN_SCORES_MODEL ?? '';
const skip = !existsSync(path.join(data, 'copa.jsonl')) && 'no eval/copa.jsonl in TERN_TESTDATA';

let server;
let url;

before(async () => {
  if (skip) return;
  const args = ['serve', '--port', '0', ...(model ? ['--model', model] : [])];
  server = spawn(process.env.TERN_PROGRAM, args,
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, TERN_API_KEYS: '' } });
  url = await new Promise((resolve, reject) => {
    let said = '';
    server.stdout.on('data', (piece) => {
      said += piece;
      const found = /http:\/\/\S+/.exec(said);
      if (found) resolve(found[0]);
    });
    server.on('exit', (code) => reject(new Error(`tern serve ended with ${code}`)));
  });
});

after(async () => {
  if (!server || server.exitCode !== null) return;
  server.removeAllListeners('exit');
  const ended = new Promise((resolve) => server.on('exit', resolve));
  server.kill('SIGTERM');
  await ended;
});

async function post(route, body) {
  const answer = await fetch(new URL(route, url),
    { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const encode = async (prompt) => (await post('/tokenize', { prompt, add_special_tokens: false })).tokens;
const lines = (file) => readFileSync(path.join(data, file), 'utf8').split('\n').filter(Boolean)
  .slice(0, examples).map((line) => JSON.parse(line));

// The generated token is then the end of the document; log-probabilities are of the model's own distribution.
const ENDING = { logit_bias: { 0: 100 } };

/** What the harness does with one batch: [{context, continuation}] → [{sum, greedy, tokens}]. */
async function ask(pairs, more) {
  const tokens = await Promise.all(pairs.map(async ({ context, continuation }) =>
    [[0, ...await encode(context)], await encode(continuation)]));
  const answer = await post('/v1/completions', { model: '', prompt: tokens.map((pair) => pair.flat()),
    temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true, ...more });
  const choices = answer.choices.sort((a, b) => a.index - b.index);
  return choices.map(({ logprobs, finish_reason: reason }, i) => {
    const start = tokens[i][0].length;
    if (more === ENDING) assert.equal(reason, 'stop');
    const taken = logprobs.token_logprobs.slice(start, -1);
    assert.equal(taken.length, tokens[i][1].length, 'one entry follows the prompt');
    return { sum: taken.reduce((a, b) => a + b, 0), tokens: taken.length,
      greedy: taken.every((x, at) => x === Math.max(...Object.values(logprobs.top_logprobs[start + at]))) };
  });
}

/** The same with and without an end of the document after the prompt, which must not show. */
async function score(pairs) {
  const scores = await ask(pairs, {});
  const ended = await ask(pairs, ENDING);
  ended.forEach(({ sum, tokens, greedy }, i) => {
    assert.equal(tokens, scores[i].tokens);
    assert.equal(greedy, scores[i].greedy);
    assert.ok(Math.abs(sum - scores[i].sum) < 1e-4, `${sum} and ${scores[i].sum}`);
  });
  return scores;
}

function evaluate(...args) {
  const run = spawnSync(process.env.TERN_PROGRAM, ['eval', ...args, '--json', '--limit', String(examples),
    ...(model ? ['--model', model] : [])], { encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr);
  return JSON.parse(run.stdout);
}

/** The choices of an example as the harness writes them: white space between the two belongs to the choice. */
const pairsOf = (example) => (example.choices
  ? example.choices.map((choice) => ({ context: example.query, continuation: ` ${choice}` }))
  : example.context_options.map((context) => ({ context, continuation: ` ${example.continuation}` })));

const best = (values) => values.indexOf(Math.max(...values));

for (const file of ['copa.jsonl', 'winogrande.jsonl', 'openbook_qa.jsonl']) {
  test(`scores of ${file}`, { skip }, async () => {
    let right = 0;
    let perByte = 0;
    let perToken = 0;
    const rows = lines(file);
    for (const example of rows) {
      const pairs = pairsOf(example);
      const scores = await score(pairs);
      right += best(scores.map((s) => s.sum)) === example.gold;
      perByte += best(scores.map((s, i) => s.sum / Buffer.byteLength(pairs[i].continuation.trimStart()))) === example.gold;
      perToken += best(scores.map((s) => s.sum / s.tokens)) === example.gold;
    }
    const [own] = evaluate('choice', path.join(data, file)).files;
    console.log(`${file}: ${rows.length} examples, served ${right / rows.length}, tern eval ${own.accuracy}`);
    assert.equal(own.examples, rows.length);
    assert.equal(right / rows.length, own.accuracy);
    assert.equal(perByte / rows.length, own.accuracy_per_byte);
    assert.equal(perToken / rows.length, own.accuracy_per_token);
  });
}

test('sums of lambada_test.jsonl', { skip }, async () => {
  let sum = 0;
  let greedy = 0;
  const rows = lines('lambada_test.jsonl');
  for (const { text } of rows) {
    const at = text.lastIndexOf(' ');
    const [one] = await score([{ context: text.slice(0, at), continuation: text.slice(at) }]);
    sum += one.sum;
    greedy += one.greedy;
  }
  const own = evaluate('lambada', path.join(data, 'lambada_test.jsonl'));
  const perplexity = Math.exp(-sum / rows.length);
  console.log(`lambada: ${rows.length} examples, served ${perplexity}, tern eval ${own.perplexity}`);
  assert.equal(greedy / rows.length, own.accuracy);
  // Prompts are read in other pieces than there, so the last bits of the logits differ.
  assert.ok(Math.abs(Math.log(perplexity / own.perplexity)) < 1e-4, `${perplexity} and ${own.perplexity}`);
});

// OpenAI's own client against `tern serve` with the bundled model.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { spawn } from 'node:child_process';

import OpenAI from 'openai';

const KEY = 'a-key-for-the-tests';
const TOOL = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather of a city.',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Oslo', 'Rome'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
      required: ['city', 'days'],
      additionalProperties: false,
    },
  },
};
const say = (content) => [{ role: 'user', content }];

let server;
let client;
let url;

before(async () => {
  server = spawn(process.env.TERN_PROGRAM, ['serve', '--port', '0'],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, TERN_API_KEYS: KEY, TERN_MODEL: '' } });
  url = await new Promise((resolve, reject) => {
    let said = '';
    server.stdout.on('data', (piece) => {
      said += piece;
      const found = /http:\/\/\S+/.exec(said);
      if (found) resolve(found[0]);
    });
    server.on('exit', (code) => reject(new Error(`tern serve ended with ${code}`)));
  });
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY, maxRetries: 0 });
});

after(async () => {
  if (server.exitCode !== null) return;
  server.removeAllListeners('exit');
  const ended = new Promise((resolve) => server.on('exit', (code) => resolve(code)));
  server.kill('SIGTERM');
  assert.equal(await ended, 0);
});

const model = async () => (await client.models.list()).data[0].id;

test('models', async () => {
  const list = await client.models.list();
  assert.equal(list.data.length, 1);
  assert.equal(list.data[0].object, 'model');
  const one = await client.models.retrieve(list.data[0].id);
  assert.equal(one.tern.loaded, true);
  await assert.rejects(client.models.retrieve('gpt-4'), OpenAI.NotFoundError);
});

test('chat, whole and streamed, is the same for the same seed', async () => {
  const request = { model: await model(), messages: say('Once upon a time'), max_tokens: 40, seed: 7, temperature: 0.8 };
  const whole = await client.chat.completions.create(request);
  assert.equal(whole.object, 'chat.completion');
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  let text = '';
  let usage;
  const stream = await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  assert.ok(usage.prompt_tokens_details.cached_tokens > 0);
});

test('what a silent stream says to stay alive is no part of the answer', async (t) => {
  const relay = createServer(async (asked, response) => {
    const { authorization } = asked.headers;
    const answer = await fetch(url + asked.url, {
      method: asked.method, duplex: 'half', body: asked, headers: { authorization, 'content-type': 'application/json' } });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') });
    response.end((await answer.text()).replaceAll('data: ', ': ping\n\ndata: '));
  });
  await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve));
  t.after(() => relay.close());
  const through = new OpenAI({ baseURL: `http://127.0.0.1:${relay.address().port}/v1`, apiKey: KEY, maxRetries: 0 });
  const request = { model: await model(), messages: say('Once'), max_tokens: 8, seed: 2 };
  const whole = await client.chat.completions.create(request);
  const message = await through.chat.completions.stream(request).finalMessage();
  assert.equal(message.content, whole.choices[0].message.content);
});

test('the stream helper puts the message together', async () => {
  const runner = client.chat.completions.stream({ model: await model(), messages: say('Once'), max_tokens: 12, seed: 1 });
  const message = await runner.finalMessage();
  assert.equal(message.role, 'assistant');
  assert.ok(message.content.length > 0);
});

test('several choices and stop texts', async () => {
  const answer = await client.chat.completions.create(
    { model: await model(), messages: say('One day'), max_tokens: 60, n: 3, seed: 3, stop: ['.', '\n'] });
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2]);
  for (const choice of answer.choices) assert.ok(!choice.message.content.includes('.'));
});

test('completions with log-probabilities and echo', async () => {
  const answer = await client.completions.create(
    { model: await model(), prompt: 'Once upon', max_tokens: 5, logprobs: 2, echo: true, temperature: 0 });
  const { text, logprobs } = answer.choices[0];
  assert.ok(text.startsWith('Once upon'));
  assert.equal(logprobs.tokens.join(''), text);
  assert.equal(logprobs.token_logprobs[0], null);
  assert.ok(logprobs.token_logprobs.slice(1).every((p) => p <= 0));
});

test('log-probabilities of a chat', async () => {
  const answer = await client.chat.completions.create(
    { model: await model(), messages: say('Once'), max_tokens: 4, logprobs: true, top_logprobs: 3, temperature: 0 });
  const { content } = answer.choices[0].logprobs;
  assert.equal(content.length, answer.usage.completion_tokens);
  for (const token of content) {
    assert.equal(token.top_logprobs.length, 3);
    assert.equal(token.top_logprobs[0].token, token.token);
    assert.deepEqual([...Buffer.from(token.token)], token.bytes);
  }
});

test('structured output follows its schema', async () => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 20 }, legs: { type: 'integer', minimum: 0, maximum: 8 } },
    required: ['name', 'legs'],
    additionalProperties: false,
  };
  for (const seed of [1, 2, 3]) {
    const answer = await client.chat.completions.create({
      model: await model(), messages: say('An animal as JSON'), seed, max_tokens: 200,
      response_format: { type: 'json_schema', json_schema: { name: 'animal', strict: true, schema } },
    });
    const animal = JSON.parse(answer.choices[0].message.content);
    assert.deepEqual(Object.keys(animal), ['name', 'legs']);
    assert.ok(Number.isInteger(animal.legs) && animal.legs >= 0 && animal.legs <= 8);
  }
});

test('a required tool is called, whole and streamed', async () => {
  const request = { model: await model(), messages: say('Weather?'), tools: [TOOL], tool_choice: 'required', seed: 5, max_tokens: 200 };
  const { choices: [choice] } = await client.chat.completions.create(request);
  assert.equal(choice.finish_reason, 'tool_calls');
  const [call] = choice.message.tool_calls;
  assert.equal(call.function.name, 'weather');
  const { city, days } = JSON.parse(call.function.arguments);
  assert.ok(['Oslo', 'Rome'].includes(city) && days >= 1 && days <= 9);
  const runner = client.chat.completions.stream(request);
  const message = await runner.finalMessage();
  assert.equal(message.tool_calls[0].function.arguments, call.function.arguments);
  // The answer of the tool goes back.
  const next = await client.chat.completions.create({
    model: await model(), max_tokens: 5, tools: [TOOL],
    messages: [...say('Weather?'), choice.message, { role: 'tool', tool_call_id: call.id, content: '{"sky":"blue"}' }],
  });
  assert.equal(next.choices.length, 1);
});

test('embeddings', async () => {
  const answer = await client.embeddings.create({ model: await model(), input: ['A cat sat.', 'A dog ran.'] });
  assert.equal(answer.data.length, 2);
  for (const { embedding } of answer.data) {
    assert.ok(Math.abs(embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  }
  const plain = await client.embeddings.create({ model: await model(), input: 'A dog ran.', encoding_format: 'float' });
  plain.data[0].embedding.forEach((x, i) => assert.ok(Math.abs(x - answer.data[1].embedding[i]) < 1e-6));
});

test('errors are the classes that OpenAI has for them', async () => {
  const id = await model();
  await assert.rejects(client.chat.completions.create({ model: 'none', messages: say('a') }), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({ model: id, messages: say('a'), temperature: 9 }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  await assert.rejects(client.completions.create({ model: id, prompt: 'a', suffix: 'b' }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'suffix');
  const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'a-wrong-key', maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test('a stream that is aborted stops the answer', async () => {
  const running = async () => {
    const status = await (await fetch(`${url}/v1/status`, { headers: { authorization: `Bearer ${KEY}` } })).json();
    return status.models[0].engine.writing;
  };
  const stream = await client.chat.completions.create(
    { model: await model(), messages: say('Once'), max_tokens: 1_000_000, logit_bias: { 0: -100 }, stream: true });
  let pieces = 0;
  for await (const _ of stream) if (++pieces > 5) break; // leaving the loop aborts it
  for (let tries = 0; tries < 200 && (await running()) > 0; ++tries) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await running(), 0);
});

test('a kept state and a session go on where they were', async () => {
  const id = await model();
  const first = await client.completions.create({ model: id, prompt: 'Once upon a', max_tokens: 8, temperature: 0, keep_state: true });
  const second = await client.completions.create({ model: id, prompt: '', max_tokens: 8, temperature: 0, state: first.choices[0].state });
  const whole = await client.completions.create({ model: id, prompt: 'Once upon a', max_tokens: 16, temperature: 0 });
  assert.equal(first.choices[0].text + second.choices[0].text, whole.choices[0].text);
  const headers = { 'X-Session': 'story' };
  const turn = (content) => client.chat.completions.create({ model: id, messages: say(content), max_tokens: 6 }, { headers });
  const before = (await turn('One.')).usage.prompt_tokens;
  const after = (await turn('Two.')).usage.prompt_tokens;
  assert.ok(after > before);
});

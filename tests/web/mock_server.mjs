// A service without a model that speaks Tern's interface: answers are known beforehand, so that a test can say what the page
// must show, and errors come when asked for. Also good for working on the page: node tests/web/mock_server.mjs 8080
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const WEB = fileURLToPath(new URL('../../web', import.meta.url));
const LIBRARIES = {
  'vendor/marked.js': '/usr/share/javascript/marked/marked.min.js',
  'vendor/purify.js': '/usr/share/nodejs/dompurify/dist/purify.min.js',
  'vendor/chart.js': '/usr/share/javascript/chart.js/chart.min.js',
};
const HIGHLIGHT = '/usr/share/javascript/highlight.js/highlight.min.js';
const TYPES = { '.html': 'text/html; charset=utf-8', '.css': 'text/css', '.js': 'text/javascript', '.json': 'application/json', '.svg': 'image/svg+xml' };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

export const RICH = `Here is a **plan** with [a link](https://example.org/x) and \`code\`.

1. First
2. Second

| bird | flies |
|---|---:|
| Arctic tern | 70,000 km |

\`\`\`python
def tern(n: int) -> str:
    # a comment
    return "kee-arr " * n
\`\`\`

<script>window.attacked = 1</script><img src=x onerror="window.attacked = 2">
<a href="javascript:window.attacked = 3">press</a> ![picture](https://example.org/leak.png)
<form action="https://example.org"><input name=q><button>Go</button></form>
<style>body { display: none }</style><iframe src="https://example.org"></iframe>
<div class="toast" style="position:fixed">not part of the page</div>

The end.`;

const STORY = 'The little tern looked at the sea. It was cold and very wide, and the wind was kind. So she spread her wings and flew.';

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const words = (text) => text.match(/\s*\S+|\s+$/g) ?? [];

export class MockService {
  key = '';        // when set, requests need it
  admin = true;    // whether models may be loaded and unloaded
  full = false;    // whether no state can be kept
  delay = 4;       // milliseconds between two pieces of an answer
  requests = [];   // what was asked: {method, path, body}
  #states = new Map();
  #made = 0;       // states so far: an id is never given twice
  #loaded = new Map([['tern-stories', true], ['rwkv7-g1-0.1b', false]]);
  #counts = { requests: 0, prompt: 0, cached: 0, generated: 0, writing: 0 };
  #started = Date.now();
  #busy = 1;

  async start(port = 0) {
    this.server = createServer((request, response) => this.#serve(request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    }));
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  async #serve(request, response) {
    const { pathname } = new URL(request.url, 'http://host');
    if (pathname === '/' || pathname.startsWith('/assets/')) return this.#file(pathname, request, response);
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = text ? JSON.parse(text) : null;
    this.requests.push({ method: request.method, path: pathname, body });
    this.#counts.requests += 1;
    if (this.key && request.headers.authorization !== `Bearer ${this.key}`) {
      return fail(response, 401, 'Incorrect API key provided.', 'invalid_api_key');
    }
    return this.#route(request.method, pathname.split('/').slice(1).map(decodeURIComponent), body, response);
  }

  async #file(pathname, request, response) {
    const name = pathname === '/' ? 'index.html' : pathname.slice('/assets/'.length);
    try {
      const content = name.startsWith('vendor/highlight/') ? await language(path.basename(name, '.js'))
        : await readFile(LIBRARIES[name] ?? path.join(WEB, path.normalize(`/${name}`)));
      const gzip = /gzip/.test(request.headers['accept-encoding'] ?? '');
      response.writeHead(200, { 'Content-Type': TYPES[path.extname(name)], 'Content-Security-Policy': POLICY, ...(gzip && { 'Content-Encoding': 'gzip' }) });
      response.end(gzip ? gzipSync(content, { level: 9 }) : content);
    } catch {
      fail(response, 404, `no ${name}`, 'not_found');
    }
  }

  #route(method, [root, name, id, action], body, response) {
    const route = `${method} ${[root, name].join('/')}`;
    if (route === 'GET v1/models' && !id) return json(response, { object: 'list', data: this.#models() });
    if (route === 'POST v1/models') {
      if (!this.admin) return fail(response, 403, "this needs an admin's API key", 'admin_key_required');
      this.#loaded.set(id, action === 'load');
      return json(response, this.#models().find((model) => model.id === id));
    }
    if (route === 'GET v1/status') return json(response, this.#status());
    if (route === 'POST v1/chat/completions' || (route === 'POST v1/chat' && id === 'completions')) return this.#chat(body, response);
    if (route === 'POST v1/completions') return this.#complete(body, response);
    if (root === 'v1' && name === 'states') return this.#stateRequest(method, id, action, body, response);
    return fail(response, 404, `Unknown path`, 'not_found');
  }

  #models() {
    return [...this.#loaded].map(([id, loaded], i) => ({ id, object: 'model', created: 1760000000, owned_by: 'tern', tern: {
      loaded, path_name: `${id}.gguf`, generation: '7', layers: i ? 12 : 6, width: i ? 768 : 512, vocabulary: i ? 65536 : 4096,
      type: 'q8_0', parameters: i ? 191_000_000 : 24_400_000, weight_bytes: i ? 210_000_000 : 27_000_000,
      memory_bytes: i ? 260_000_000 : 35_000_000, state_bytes: i ? 2_400_000 : 800_000, tokenizer: i ? 'world' : 'bpe',
      template: i ? 'g1' : 'none', loaded_at: Math.floor(this.#started / 1000) } }));
  }

  #status() {
    const wave = Math.sin(Date.now() / 4000);
    return { version: '0.1.0', admin: this.admin, uptime_seconds: Math.round((Date.now() - this.#started) / 1000) + 3725,
      machine: { cpu: 'A processor of eight cores', level: 'avx512', threads: 8, memory_bytes: 32 * 2 ** 30, available_bytes: 21.4 * 2 ** 30 },
      process: { resident_bytes: (412 + 8 * wave) * 2 ** 20 },
      http: { connections: 3, connections_total: 40, requests: this.#counts.requests, responses_2xx: this.#counts.requests, responses_4xx: 1, responses_5xx: 0 },
      models: this.#models().map((model) => ({ id: model.id, loaded: model.tern.loaded, ...model.tern,
        engine: { waiting: 0, reading: wave > 0.7 ? 1 : 0, writing: Math.round(3 + 2 * wave), prompt_tokens: this.#counts.prompt, cached_tokens: this.#counts.cached,
          generated_tokens: this.#counts.generated, tokens_per_second_prompt: model.tern.loaded ? 900 + 400 * wave : 0, tokens_per_second_generated: model.tern.loaded ? 160 + 25 * wave : 0 },
        cache: { memory_bytes: (30 + this.#states.size) * 800_000, disk_bytes: 0, states: 30 + this.#states.size, named: this.#states.size, hits: 12, misses: 4 } })) };
  }

  #keep(text, parent, note = '', evictable = false) {
    this.#made += 1;
    const id = `st_${String(this.#made).padStart(4, '0')}${'mock'.repeat(4)}`;
    const now = Math.floor(Date.now() / 1000);
    this.#states.set(id, { id, object: 'state', parent, note, tokens: words(text).length, bytes: 812_000, created: now, used: now,
      in_memory: true, evictable, model: 'tern-stories', text });
    return id;
  }

  #keptAs(text, body) {
    if (this.full) return { state: null, state_warning: { code: 'insufficient_storage', message: 'the state of this answer was not kept' } };
    return { state: this.#keep(text, body.state ?? '', 'chat', body.keep_state === 'evictable') };
  }

  #stateRequest(method, id, action, body, response) {
    if (!id) return json(response, { object: 'list', data: [...this.#states.values()].map(({ text, ...rest }) => rest) });
    const state = this.#states.get(id);
    if (!state) return fail(response, 404, `There is no state ${id}.`, 'state_not_found');
    if (method === 'DELETE') {
      this.#states.delete(id);
      return json(response, { id, deleted: true });
    }
    if (action === 'fork') return json(response, this.#states.get(this.#keep(state.text, id, body?.note)));
    if (action === 'rollback') return json(response, this.#states.get(this.#keep(words(state.text).slice(0, body.tokens).join(''), id, state.note)));
    if (action === 'file') {
      response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
      return response.end('state file');
    }
    return json(response, state);
  }

  #answerTo(text) {
    if (/markdown/i.test(text)) return { text: RICH };
    if (/think/i.test(text)) return { thinking: 'The question is short. I should say hello.', text: 'Hello!' };
    if (/slow/i.test(text)) return { text: Array.from({ length: 400 }, (_, i) => `word${i}`).join(' ') };
    if (/break/i.test(text)) return { text: 'This answer', error: 'The model stumbled.' };
    return { text: STORY };
  }

  async #chat(body, response) {
    const kept = body.state ? this.#states.get(body.state) : null;
    if (body.state && !kept) return fail(response, 404, `There is no state ${body.state}.`, 'state_not_found');
    const said = body.messages.map((message) => message.content).join('\n');
    const last = body.messages.at(-1).content;
    if (/busy/i.test(last) && this.#busy-- > 0) {
      response.setHeader('Retry-After', '2');
      return fail(response, 429, 'Too many requests are waiting. Try again in 2 seconds.', 'queue_full');
    }
    const { thinking, text, error } = this.#answerTo(last);
    const chunk = (delta, more = {}) => ({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: body.model,
      choices: [{ index: 0, delta, finish_reason: null, ...more }] });
    const events = [chunk({ role: 'assistant', content: '' }), ...words(thinking ?? '').map((word) => chunk({ reasoning_content: word })),
      ...words(text).map((word) => chunk({ content: word }))];
    if (error) events.push({ error: { message: error, type: 'server_error', code: null } });
    const whole = (kept?.text ?? '') + said;
    const usage = this.#usage(whole, text, kept);
    const end = () => chunk({}, { finish_reason: 'stop', ...(body.keep_state && this.#keptAs(`${whole}\n${text}`, body)) });
    return this.#stream(response, [...events, end, { ...chunk({}), choices: [], usage }]);
  }

  #usage(prompt, text, kept) {
    const cached = kept ? kept.tokens : 0;
    const usage = { prompt_tokens: words(prompt).length, completion_tokens: words(text).length, prompt_tokens_details: { cached_tokens: cached } };
    this.#counts.prompt += usage.prompt_tokens;
    this.#counts.cached += cached;
    this.#counts.generated += usage.completion_tokens;
    return { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens };
  }

  #complete(body, response) {
    const all = words(` ${STORY}`);
    const events = all.map((word, i) => {
      const p = 0.15 + 0.8 * Math.abs(Math.sin(i * 1.7));
      return { object: 'text_completion', choices: [{ index: 0, text: word, finish_reason: null, logprobs: { tokens: [word],
        token_logprobs: [Math.log(p)], text_offset: [0],
        top_logprobs: [{ [word]: Math.log(p), ' bird': Math.log((1 - p) * 0.6), ' fish': Math.log((1 - p) * 0.3) }] } }] };
    });
    return this.#stream(response, [...events, { choices: [], usage: this.#usage(body.prompt, STORY, null) }]);
  }

  async #stream(response, events) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    let gone = false;
    response.on('close', () => { gone = true; });
    for (const next of events) {
      if (gone) return;
      const event = typeof next === 'function' ? next() : next;
      response.write(`data: ${JSON.stringify(event)}\n\n`);
      if (event.error) break;
      await sleep(this.delay);
    }
    response.end('data: [DONE]\n\n');
  }
}

async function language(name) {
  const parts = (await readFile(HIGHLIGHT, 'utf8')).split('hljs.registerLanguage("');
  const found = name === 'core' ? parts[0] : `hljs.registerLanguage("${parts.find((part) => part.startsWith(`${name}"`))}`;
  return found;
}

function json(response, value) {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(value));
}

function fail(response, status, message, code) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code } }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const service = new MockService();
  service.delay = 40;
  console.log(await service.start(Number(process.argv[2] ?? 8080)));
}

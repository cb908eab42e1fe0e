// The last minutes of the service's figures, from statuses that count since its start. Pure.

const sum = (models, read) => (models ?? []).reduce((all, model) => all + (Number(read(model)) || 0), 0);

/** One status as a row of totals over all models. */
export function totals(status) {
  const { models } = status;
  return {
    reading: sum(models, (model) => model.engine?.tokens_per_second_prompt),
    writing: sum(models, (model) => model.engine?.tokens_per_second_generated),
    running: sum(models, (model) => model.engine?.writing),
    prompts: sum(models, (model) => model.engine?.reading),
    waiting: sum(models, (model) => model.engine?.waiting),
    prompt: sum(models, (model) => model.engine?.prompt_tokens),
    cached: sum(models, (model) => model.engine?.cached_tokens),
    generated: sum(models, (model) => model.engine?.generated_tokens),
    hits: sum(models, (model) => model.cache?.hits),
    misses: sum(models, (model) => model.cache?.misses),
    states: sum(models, (model) => model.cache?.states),
    cacheMemory: sum(models, (model) => model.cache?.memory_bytes),
    cacheDisk: sum(models, (model) => model.cache?.disk_bytes),
    resident: Number(status.process?.resident_bytes) || 0,
    connections: Number(status.http?.connections) || 0,
    requests: Number(status.http?.requests) || 0,
    errors: (Number(status.http?.responses_4xx) || 0) + (Number(status.http?.responses_5xx) || 0),
    uptime: Number(status.uptime_seconds) || 0,
  };
}

/** The share of prompts' tokens that were not read again. */
export const cachedShare = ({ prompt, cached }) => (prompt > 0 ? Math.min(1, cached / prompt) : 0);

export class History {
  rows = [];

  constructor(limit = 120) {
    this.limit = limit;
  }

  add(status, time) {
    this.rows.push({ time, ...totals(status) });
    if (this.rows.length > this.limit) this.rows.splice(0, this.rows.length - this.limit);
  }

  last() {
    return this.rows.at(-1);
  }

  /** Seconds before now (≤ 0) of every row. */
  seconds() {
    const now = this.last()?.time ?? 0;
    return this.rows.map((row) => Math.round((row.time - now) / 1000));
  }
}

// Probabilities of written tokens. Pure.

const ALTERNATIVE_LIMIT = 10;

/** What stands in a list for a token: blanks and line ends can be seen. */
export const visible = (text) => text.replaceAll('\n', '⏎').replaceAll('\t', '⇥').replaceAll(' ', '␣') || '∅';

// The service's texts of tokens are bytes where a token cuts a character.
const isPart = (token) => /^bytes:/.test(token) || token.includes('\uFFFD');

/**
 * The pieces of one chunk of a /v1/completions stream: [{text, p, alternatives: [{text, p}]}]. Tokens that only together are
 * characters become one piece without alternatives.
 */
export function piecesOf(choice) {
  const text = choice.text ?? '';
  const logprobs = choice.logprobs;
  const tokens = logprobs?.tokens ?? [];
  if (!tokens.length || tokens.some(isPart) || tokens.join('') !== text) {
    const sum = (logprobs?.token_logprobs ?? []).reduce((all, one) => all + (one ?? 0), 0);
    return text ? [{ text, p: tokens.length ? Math.exp(sum) : null, alternatives: [] }] : [];
  }
  return tokens.map((token, i) => {
    const top = Object.entries(logprobs.top_logprobs?.[i] ?? {}).filter(([other]) => !isPart(other));
    const own = logprobs.token_logprobs?.[i];
    const alternatives = top.map(([other, logprob]) => ({ text: other, p: Math.exp(logprob) }));
    if (Number.isFinite(own) && !alternatives.some((one) => one.text === token)) alternatives.push({ text: token, p: Math.exp(own) });
    return {
      text: token, p: Number.isFinite(own) ? Math.exp(own) : null,
      alternatives: alternatives.sort((a, b) => b.p - a.p).slice(0, ALTERNATIVE_LIMIT),
    };
  });
}

/** 0 for a sure token, 100 for one that nobody expected: how strongly it is tinted. */
export function doubt(p) {
  if (p === null || p === undefined) return 0;
  return Math.round(Math.min(1, Math.log(1 / Math.max(p, 1e-4)) / 5) * 100);
}

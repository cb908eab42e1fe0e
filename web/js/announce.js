// What a screen reader hears: a stream by whole sentences, and short notes about what happened.

const log = () => document.getElementById('live');

export function note(text) {
  const status = document.getElementById('status');
  status.textContent = '';
  setTimeout(() => { status.textContent = text; }, 50);
}

/** Reads a growing text out, a sentence at a time. */
export class Reader {
  #said;

  /** `said`: how much of the text was there before. */
  constructor(said = 0) {
    this.#said = said;
  }

  update(text, done = false) {
    const rest = text.slice(this.#said);
    const end = done ? rest.length : Math.max(...['. ', '! ', '? ', '\n', '。', '！', '？'].map((mark) => {
      const at = rest.lastIndexOf(mark);
      return at < 0 ? 0 : at + mark.length;
    }));
    const sentence = rest.slice(0, end).trim();
    this.#said += end;
    if (!sentence) return;
    const line = document.createElement('p');
    line.textContent = sentence;
    log().append(line);
    while (log().childElementCount > 20) log().firstElementChild.remove();
  }
}

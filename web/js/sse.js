// Server-sent events, as far as streams of answers use them. Pure.

/** Takes a stream's text in any pieces and gives the data of each event that has become whole. */
export class EventStreamParser {
  #buffer = '';
  #data = [];

  push(piece) {
    this.#buffer += piece;
    const events = [];
    for (;;) {
      const end = this.#buffer.search(/\r|\n/);
      // A '\r' at the very end may be the first half of "\r\n".
      if (end < 0 || (this.#buffer[end] === '\r' && end === this.#buffer.length - 1)) return events;
      const line = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(this.#buffer.startsWith('\r\n', end) ? end + 2 : end + 1);
      if (line === '') {
        if (this.#data.length) events.push(this.#data.join('\n'));
        this.#data = [];
      } else if (line === 'data' || line.startsWith('data:')) {
        const value = line.slice(5);
        this.#data.push(value.startsWith(' ') ? value.slice(1) : value);
      }  // comments, ids, names and retry times do not matter here
    }
  }
}

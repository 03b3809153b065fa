// Server-sent events (WHATWG HTML §9.2.6), as far as Herald sends them.

const maxBlock = 8 << 20; // characters of one event; the daemon's are far shorter

// SSEParser makes blocks of the text of a stream: {id, event, data, comment}, each of
// them undefined where the block has none. An id alone is a block, too, as it moves
// the position.
export class SSEParser {
  #rest = '';
  #block = {};
  #size = 0;
  #wasCR = false;

  // push takes the next piece of the stream and returns the blocks that it ends.
  push(text) {
    const blocks = [];
    if (this.#wasCR && text.startsWith('\n')) text = text.slice(1);
    if (text === '') return blocks;
    this.#wasCR = text.endsWith('\r');
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    this.#size += text.length;
    for (const line of lines) {
      if (line !== '') {
        this.#line(line);
        continue;
      }
      this.#size = this.#rest.length;
      if (Object.keys(this.#block).length > 0) blocks.push(this.#block);
      this.#block = {};
    }
    if (this.#size > maxBlock) throw new Error(`an event is over ${maxBlock} characters`);
    return blocks;
  }

  #line(line) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    const b = this.#block;
    switch (name) {
      case '': b.comment = value; break;
      case 'id': b.id = value; break;
      case 'event': b.event = value; break;
      case 'data': b.data = b.data === undefined ? value : `${b.data}\n${value}`; break;
    }
  }
}

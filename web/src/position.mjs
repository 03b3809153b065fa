// Where a program has got to in the board's journal of events, kept beyond the
// program's end if it asks for that.
//
// There is a position for each category that is listened to: a listener that is new
// begins with what is new, while the others go on where they were.

const saveAfter = 1000; // ms: a program that is killed gets at most what came in them again

// makeStore gives what keeps positions: {load(), save(positions)}; null: nothing does.
// The option is 'localStorage', {file: path}, or an object with load and save itself.
export function makeStore(option, place) {
  if (!option) return null;
  if (option === 'localStorage') {
    const key = `herald.positions ${place}`;
    return {
      load: () => JSON.parse(localStorage.getItem(key) ?? '{}'),
      save: positions => localStorage.setItem(key, JSON.stringify(positions)),
    };
  }
  if (typeof option.file === 'string') return fileStore(option.file);
  if (typeof option.load === 'function' && typeof option.save === 'function') return option;
  throw new TypeError('position: not "localStorage", {file} or {load, save}');
}

function fileStore(path) {
  const fs = () => import('node:fs/promises');
  return {
    async load() {
      try {
        return JSON.parse(await (await fs()).readFile(path, 'utf8'));
      } catch (e) {
        if (e.code === 'ENOENT') return {};
        throw e;
      }
    },
    // The file is whole at any time: a new one takes its place.
    async save(positions) {
      const { rename, writeFile } = await fs();
      await writeFile(`${path}.new`, JSON.stringify(positions));
      await rename(`${path}.new`, path);
    },
  };
}

// Positions are the positions of one stream.
export class Positions {
  #of = new Map(); // by category
  #store;
  #loaded = false;
  #timer;
  #saving = Promise.resolve();

  constructor(store) { this.#store = store; }

  // load reads what was kept. What cannot be read is as nothing: events are then
  // new ones only, and the next save mends it.
  async load() {
    if (this.#loaded || !this.#store) return;
    this.#loaded = true;
    try {
      for (const [category, n] of Object.entries(await this.#store.load() ?? {})) {
        if (Number.isSafeInteger(n) && n >= 0 && !this.#of.has(category)) this.#of.set(category, n);
      }
    } catch { /* see above */ }
  }

  get(category) { return this.#of.get(category); }

  // least is the first position that any of the categories needs; undefined: none has
  // one yet.
  least(categories) {
    const known = categories.map(c => this.#of.get(c)).filter(n => n !== undefined);
    return known.length > 0 ? Math.min(...known) : undefined;
  }

  set(category, n) {
    if (this.#of.get(category) === n) return;
    this.#of.set(category, n);
    this.#later();
  }

  // advance moves the categories on to n, never back.
  advance(categories, n) {
    for (const c of categories) this.set(c, Math.max(n, this.#of.get(c) ?? 0));
  }

  forget(category) {
    if (this.#of.delete(category)) this.#later();
  }

  #later() {
    if (this.#store) this.#timer ??= setTimeout(() => this.flush(), saveAfter);
  }

  // flush saves now; one save after the other.
  flush() {
    if (this.#timer === undefined) return this.#saving;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const all = Object.fromEntries(this.#of);
    const save = async () => { await this.#store.save(all); };
    // A full disk or storage costs the position, not the events.
    this.#saving = this.#saving.then(save).catch(e => console.warn(`herald: the position is not saved: ${e?.message ?? e}`));
    return this.#saving;
  }
}

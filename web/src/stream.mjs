// The one stream of events that all listeners of a program share. It is opened with
// the first listener, made anew when it breaks, and ends with the last one.
import { asError, CODES, HeraldError, isFinal, refusal, waitBefore } from './error.mjs';
import { Positions } from './position.mjs';
import { EVENTS } from './registry.mjs';
import { SSEParser } from './sse.mjs';

// The stream's patience in milliseconds. The daemon pings every 15 s.
export const PATIENCE = { first: 250, most: 10000, silence: 45000, steady: 5000 };

// EventStream reads events for listeners, one for each category.
//
// Options: request(what) asks the daemon, with its token; store keeps positions;
// onGap(gap) is told what was missed; patience replaces parts of PATIENCE.
export class EventStream {
  #options;
  #patience;
  #positions;
  #listeners = new Map(); // category → {call, announce, resolve, reject, told}
  #running = null; // the loop's promise
  #connection = null; // AbortController of what is open
  #wake = () => {}; // ends a pause

  constructor(options) {
    this.#options = options;
    this.#patience = { ...PATIENCE, ...options.patience };
    this.#positions = new Positions(options.store);
  }

  // add has the category's events go to call, in place of what it had. The promise is
  // kept once none can be missed any more, and broken if the daemon cannot be asked or
  // refuses: then there is no listener.
  add(category, call, announce) {
    const before = this.#listeners.get(category);
    before?.reject(new HeraldError(CODES.interrupted, `${category}: another listener took its place`));
    const ready = new Promise((resolve, reject) => {
      this.#listeners.set(category, { call, announce, resolve, reject, told: false });
    });
    if (before?.told) this.#stands([category]); // it is being read already
    else this.#restart();
    return ready;
  }

  // remove ends a listener. What comes later for its category begins anew.
  remove(category) {
    const listener = this.#listeners.get(category);
    this.#listeners.delete(category);
    this.#positions.forget(category);
    listener?.reject(new HeraldError(CODES.interrupted, `${category}: the listener was removed`));
    if (this.#listeners.size === 0) this.#restart();
  }

  // close ends all listeners, and is done when nothing is left of the stream. Their
  // positions stay where they are kept.
  async close() {
    for (const [category, l] of this.#listeners) l.reject(new HeraldError(CODES.interrupted, `${category}: closed`));
    this.#listeners.clear();
    this.#restart();
    await this.#running;
    await this.#positions.flush();
  }

  // #restart has the loop look at the listeners anew. Those that are set one after
  // another share one connection.
  #restart() {
    const connection = this.#connection;
    this.#wake();
    if (!this.#running && this.#listeners.size > 0) {
      this.#running = this.#run().finally(() => { this.#running = null; if (this.#listeners.size > 0) this.#restart(); });
    } else if (connection) {
      queueMicrotask(() => connection.abort());
    }
  }

  async #run() {
    const wake = () => this.#wake();
    globalThis.addEventListener?.('online', wake);
    globalThis.addEventListener?.('pagehide', this.#save);
    try {
      await this.#positions.load();
      let tries = 0;
      while (this.#listeners.size > 0) {
        const began = Date.now();
        const stood = await this.#connect();
        if (this.#listeners.size === 0) break;
        if (stood === 'changed') continue;
        tries = stood && Date.now() - began > this.#patience.steady ? 0 : tries + 1;
        await this.#pause(tries);
      }
    } finally {
      globalThis.removeEventListener?.('online', wake);
      globalThis.removeEventListener?.('pagehide', this.#save);
    }
  }

  #save = () => { this.#positions.flush(); };

  // #pause waits before the next try.
  #pause(tries) {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, waitBefore(tries, this.#patience));
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  // #connect reads one connection to its end. It tells whether the stream stood, or
  // 'changed' if other listeners are wanted than it was opened for.
  async #connect() {
    const connection = this.#connection = new AbortController();
    await null; // listeners that are set now are in
    const categories = [...this.#listeners.keys()];
    const watchdog = new Watchdog(this.#patience.silence, () => connection.abort('silence'));
    let stood = false;
    try {
      if (connection.signal.aborted) return 'changed';
      const headers = { Accept: 'text/event-stream' };
      const after = this.#positions.least(categories);
      if (after !== undefined) headers['Last-Event-ID'] = String(after);
      const res = await this.#options.request({
        method: 'GET', path: `/v1/events?listen=${categories.join(',')}`, headers, signal: connection.signal,
      });
      if (res.status !== 200) throw refusal(res.status, await res.text());
      const parser = new SSEParser(), decoder = new TextDecoder();
      for await (const chunk of res.chunks()) {
        watchdog.fed();
        for (const block of parser.push(decoder.decode(chunk, { stream: true }))) {
          if (connection.signal.aborted) break;
          if (stood) {
            this.#block(block, categories);
          } else {
            this.#begins(block, categories);
            stood = true;
          }
        }
      }
    } catch (e) {
      if (connection.signal.aborted && connection.signal.reason !== 'silence') return 'changed';
      this.#failed(asError(e, 'events'));
    } finally {
      watchdog.stop();
      this.#connection = null;
      connection.abort();
    }
    return stood;
  }

  // #begins reads what the daemon says first: where its journal ends.
  #begins(block, categories) {
    const said = /^herald .* at (\d+)$/.exec(block.comment ?? '');
    if (!said) throw new HeraldError(CODES.internal, 'events: the stream does not begin as Herald\'s does');
    const last = Number(said[1]);
    const wanted = this.#wanted(categories);
    const from = this.#positions.least(wanted);
    const ahead = wanted.map(c => this.#positions.get(c)).filter(n => n > last);
    if (ahead.length > 0 && from <= last) {
      // It is another journal, and the daemon saw only the least position, which fits.
      for (const c of wanted) if (this.#positions.get(c) > last) this.#positions.set(c, from);
      this.#gap({ from: Math.min(...ahead) + 1, to: from, reason: 'replaced' });
    }
    for (const c of wanted) if (this.#positions.get(c) === undefined) this.#positions.set(c, last);
    this.#stands(wanted);
  }

  // #wanted are those of a connection's categories that still have a listener.
  #wanted(categories) { return categories.filter(c => this.#listeners.has(c)); }

  #stands(categories) {
    for (const category of categories) {
      const l = this.#listeners.get(category);
      if (!l || l.told) continue;
      l.told = true;
      l.resolve({ status: true });
      if (l.announce) hand(l.call, { status: true });
    }
  }

  #block({ id, event, data }, categories) {
    const position = /^\d+$/.test(id ?? '') ? Number(id) : undefined;
    if (event === 'gap') {
      const gap = JSON.parse(data);
      for (const c of this.#wanted(categories)) {
        const n = this.#positions.get(c);
        // A listener that is new stands at the end of the other journal already.
        if (gap.reason === 'trimmed' ? n < gap.to : n >= gap.from - 1) this.#positions.set(c, gap.to);
      }
      this.#gap(gap);
      return;
    }
    if (data !== undefined && Object.hasOwn(EVENTS, event)) {
      const what = JSON.parse(data);
      for (const category of EVENTS[event]) {
        const l = this.#listeners.get(category);
        if (!l?.told || !categories.includes(category) || position <= this.#positions.get(category)) continue;
        hand(l.call, what);
      }
    }
    if (position !== undefined) this.#positions.advance(categories.filter(c => this.#listeners.get(c)?.told), position);
  }

  #gap(gap) { if (this.#options.onGap) hand(this.#options.onGap, gap); }

  // #failed ends the listeners that wait for the stream, and all of them if it makes
  // no sense to try again.
  #failed(e) {
    const final = isFinal(e);
    for (const [category, l] of [...this.#listeners]) {
      if (l.told && !final) continue;
      this.#listeners.delete(category);
      l.reject(e);
      hand(l.call, undefined, e.toJSON());
    }
  }
}

// Watchdog barks when it was not fed for too long.
class Watchdog {
  #timer;
  #wait;
  #bark;

  constructor(wait, bark) {
    this.#wait = wait;
    this.#bark = bark;
    this.fed();
  }

  fed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#bark, this.#wait);
  }

  stop() { clearTimeout(this.#timer); }
}

// hand calls a program's function. What that throws is the program's: it is thrown as
// if no stream were around it, and the stream goes on.
export function hand(call, ...args) {
  try {
    call(...args);
  } catch (e) {
    queueMicrotask(() => { throw e; });
  }
}

// What the cases of conformance are run in: three accounts on three boards, the events
// that their listeners get, and checks of what callbacks are given.
//
// The configuration comes from who runs it (test/conformance): sdkAppId, users with
// {user, sig, url, token, socket}, group, files, control (a URL that does to the hub
// what no program can), spec (the document's text, if there is one).

const patience = 60000; // ms: machines are slow

// Kinds of JSON that a field may be.
export const str = v => typeof v === 'string';
export const int = v => Number.isSafeInteger(v);
export const bool = v => typeof v === 'boolean';
export const list = of => v => Array.isArray(v) && v.every(x => fits(x, of) === '');
export const maybe = of => v => v === undefined || fits(v, of) === '';
export const filled = v => typeof v === 'string' && v !== '';

// fits tells how a value differs from a pattern: a kind, a plain value, or an object
// of patterns, which may have more fields than the pattern. '': it does not.
export function fits(value, pattern, path = '') {
  if (typeof pattern === 'function') return pattern(value) ? '' : `${path || 'it'} is ${JSON.stringify(value)}`;
  if (Array.isArray(pattern)) {
    if (!Array.isArray(value) || value.length !== pattern.length) return `${path || 'it'} is ${JSON.stringify(value)}, not ${JSON.stringify(pattern)}`;
    return pattern.map((p, i) => fits(value[i], p, `${path}[${i}]`)).find(x => x) ?? '';
  }
  if (pattern && typeof pattern === 'object') {
    if (!value || typeof value !== 'object' || Array.isArray(value)) return `${path || 'it'} is ${JSON.stringify(value)}, not an object`;
    for (const [key, p] of Object.entries(pattern)) {
      const wrong = fits(value[key], p, path ? `${path}.${key}` : key);
      if (wrong) return wrong;
    }
    return '';
  }
  return value === pattern ? '' : `${path || 'it'} is ${JSON.stringify(value)}, not ${JSON.stringify(pattern)}`;
}

export function check(value, pattern, what = '') {
  const wrong = fits(value, pattern);
  if (wrong) throw new Error(`${what}${what && ': '}${wrong}; all of it: ${JSON.stringify(value)}`);
  return value;
}

// shown says a pattern in an error.
const shown = pattern => JSON.stringify(pattern, (_, v) => (typeof v === 'function' ? v.name || 'as it has to be' : v));

// within gives what a promise gives, or fails with a sentence if that takes too long.
export function within(promise, sentence) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(sentence)), patience);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

// Account is one of the three with its board.
export class Account {
  #seen = []; // events that nobody has waited for yet
  #waiting = new Set();

  constructor(world, herald, { user, sig }) {
    Object.assign(this, { world, herald, user, sig });
  }

  // call runs a method by its full name as the document has it: with a callback. It
  // holds the callback to be called once, with ret or err.
  call(method, params = {}) {
    const [module, name] = method.split('.');
    const target = module === 'im' ? this.herald.Im : this.herald[module];
    const one = ['im.getVersion', 'im.getServerTime'].includes(method);
    this.world.called.add(method);
    for (const field of Object.keys(params)) this.world.spelled.add(`${method} ${field}`);
    return new Promise((resolve, reject) => {
      let times = 0;
      const returned = target[name](params, (...args) => {
        const [ret, err] = one && args[0]?.code !== undefined ? [undefined, args[0]] : args;
        if (++times > 1) return this.world.fail(`${method}: the callback is called again: ${JSON.stringify(args)}`);
        if ((ret === undefined) === (err === undefined)) return reject(new Error(`${method}: the callback is told not one of ret and err: ${JSON.stringify(args)}`));
        if (err) return reject(Object.assign(new Error(`${method}: ${JSON.stringify(err)}`), { err: check(err, { code: int, msg: filled }, method) }));
        if (ret.status === true) this.world.done.add(method);
        resolve(check(ret, { status: true }, method));
      });
      if (returned !== undefined) reject(new Error(`${method}: it returns something beside its callback`));
    });
  }

  // refused is call where it has to fail with a code.
  async refused(code, method, params) {
    let ret;
    try {
      ret = await this.call(method, params);
    } catch (e) {
      if (e.err?.code === code) return e.err;
      throw e;
    }
    throw new Error(`${method}: ${JSON.stringify(ret)} where ${code} was to come`);
  }

  // listen sets a listener and keeps its events. eventsOnly: it is told nothing else.
  async listen(module, method, eventsOnly) {
    const target = module === 'im' ? this.herald.Im : this.herald[module];
    let first;
    const status = new Promise(resolve => { first = resolve; });
    await target[method]({}, (ret, err) => {
      if (err) return this.world.fail(`${method}: ${JSON.stringify(err)}`);
      if (ret.status === true && ret.eventType === undefined) return first(ret);
      this.#take(module, method, check(ret, { eventType: filled }, method));
    });
    this.world.called.add(`${module}.${method}`);
    if (!eventsOnly) check(await status, { status: true }, method);
    this.world.done.add(`${module}.${method}`);
  }

  #take(module, listener, event) {
    this.world.seen.add(`${module}.${event.eventType}`);
    if (event.download) this.world.seen.add(`${module}.${event.eventType}.download`);
    const e = { listener, event };
    for (const w of this.#waiting) {
      if (w.take(e)) return;
    }
    this.#seen.push(e);
    if (this.#seen.length > 5000) this.#seen.shift();
  }

  // event waits for an event that fits, on a listener if that is named, and takes it.
  event(eventType, pattern = {}, listener = '') {
    const is = e => e.event.eventType === eventType && (!listener || e.listener === listener) && fits(e.event, pattern) === '';
    const i = this.#seen.findIndex(is);
    if (i >= 0) return Promise.resolve(this.#seen.splice(i, 1)[0].event);
    return new Promise((resolve, reject) => {
      const w = {
        take: e => {
          if (!is(e)) return false;
          clearTimeout(timer);
          this.#waiting.delete(w);
          resolve(e.event);
          return true;
        },
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(w);
        const same = this.#seen.filter(e => e.event.eventType === eventType).slice(-5)
          .map(e => `${fits(e.event, pattern) || e.listener}: ${JSON.stringify(e.event)}`.slice(0, 500));
        reject(new Error(`${this.user}: no event ${eventType} with ${shown(pattern)} in ${patience} ms; the last of its type: ${same.join('\n') || 'none'}`));
      }, patience);
      this.#waiting.add(w);
    });
  }

  // has tells whether an event is there that nobody has waited for.
  has(eventType, pattern, listener = '') {
    return this.#seen.some(e => e.event.eventType === eventType && (!listener || e.listener === listener) && fits(e.event, pattern) === '');
  }

  // forget drops what nobody has waited for.
  forget() { this.#seen = []; }
}

// World is all of it.
export class World {
  called = new Set(); // methods
  done = new Set(); // methods that have succeeded
  seen = new Set(); // events
  spelled = new Set(); // parameters: method and field
  failures = []; // of what nobody waits for

  constructor(client, config) {
    this.client = client;
    this.config = config;
    this.inPage = typeof document === 'object';
    const options = u => (this.inPage || !u.socket ? { url: u.url, token: u.token } : { socketPath: u.socket });
    const [me, peer, third] = config.users;
    // The first is the board of the program itself, with the Im that samples use; the
    // others are reached by TCP.
    this.me = new Account(this, client.Herald.connect(options(me)), me);
    this.peer = new Account(this, new client.Herald({ url: peer.url, token: peer.token }), peer);
    this.third = new Account(this, new client.Herald({ url: third.url, token: third.token }), third);
  }

  get accounts() { return [this.me, this.peer, this.third]; }

  fail(what) { this.failures.push(what); }

  // control asks who runs this for something.
  async control(what, params = {}) {
    const res = await fetch(`${this.config.control}/${what}?${new URLSearchParams(params)}`, { method: 'POST' });
    const text = await res.text();
    if (!res.ok) throw new Error(`${what}: ${text}`);
    return text;
  }

  // until waits for something that raises no event.
  async until(what, is) {
    for (const end = Date.now() + patience; Date.now() < end;) {
      if (await is()) return;
      await new Promise(done => setTimeout(done, 20));
    }
    throw new Error(`not ${what} in ${patience} ms`);
  }

  async close() { await Promise.all(this.accounts.map(a => a.herald.close())); }
}

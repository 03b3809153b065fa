// A board that does as the tests say: a small HTTP server with the answers and the
// event streams of the local API.
import { createServer } from 'node:http';

export class Board {
  requests = []; // {method, url, headers, body}
  streams = []; // the open event streams
  last = 0; // the newest position of its journal
  token = '';
  silent = false; // a stream says nothing until its begin is called
  answers = {}; // by path: a function of the request that gives {status, body}
  #waiting = [];

  static async start(listen) {
    const b = new Board();
    b.server = createServer((req, res) => b.#answer(req, res));
    await new Promise(done => b.server.listen(listen ?? { port: 0, host: '127.0.0.1' }, done));
    if (!listen) b.url = `http://127.0.0.1:${b.server.address().port}`;
    return b;
  }

  // stop ends it as a daemon that is killed ends.
  async stop() {
    this.server.closeAllConnections();
    await new Promise(done => this.server.close(done));
  }

  // again listens at the same address.
  async again() {
    const { port } = new URL(this.url);
    const b = this.server = createServer((req, res) => this.#answer(req, res));
    await new Promise(done => b.listen(Number(port), '127.0.0.1', done));
  }

  async #answer(req, res) {
    let body = '';
    for await (const piece of req.setEncoding('utf8')) body += piece;
    const seen = { method: req.method, url: req.url, headers: req.headers, body };
    this.requests.push(seen);
    const path = req.url.replace(/\?.*/, '');
    if (this.token && req.headers.authorization !== `Bearer ${this.token}`) return this.#json(res, 401, { code: 9506, msg: 'a valid token is needed' });
    if (this.answers[path]) {
      const { status = 200, body, raw, never } = await this.answers[path](seen);
      if (never) return;
      if (raw !== undefined) res.writeHead(status).end(raw);
      else this.#json(res, status, body);
      return;
    }
    if (path !== '/v1/events') return this.#json(res, 200, { status: true });
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const stream = { seen, listen: new URL(req.url, 'http://x').searchParams.get('listen').split(','), write: text => res.write(text), end: () => res.end(), destroy: () => res.destroy() };
    this.streams.push(stream);
    res.on('close', () => { this.streams = this.streams.filter(s => s !== stream); });
    const begin = () => res.write(`: herald test at ${this.last}\n\n`);
    if (this.silent) stream.begin = begin;
    else begin();
    this.#waiting.splice(0).forEach(w => w(stream));
  }

  #json(res, status, body) {
    res.writeHead(status, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  }

  // opened waits for the next event stream.
  opened() { return new Promise(done => this.#waiting.push(done)); }

  // event sends an event to all streams; position 0: it has none.
  event(position, name, data) {
    if (position > this.last) this.last = position;
    const id = position > 0 ? `id: ${position}\n` : '';
    for (const s of this.streams) s.write(`${id}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }
}

// Events collects what a listener is told, to wait for.
export class Events {
  all = [];
  #waiting = [];

  call = (ret, err) => {
    this.all.push(err ? { err } : ret);
    for (const w of this.#waiting.splice(0)) w();
  };

  // next waits until there are n, and gives the last of them.
  async count(n) {
    while (this.all.length < n) await new Promise(done => this.#waiting.push(done));
    return this.all[n - 1];
  }
}

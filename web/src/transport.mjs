// How requests reach the board's daemon: in a page with fetch, in Node with
// node:http, which alone can open the daemon's unix socket.
//
// A transport is a function of {method, path, headers, body, signal} that gives
// {status, header(name), text(), chunks()}; chunks() iterates over Uint8Arrays. A
// body is a string, a Uint8Array, a Blob, or in Node {size, open()} where open()
// makes a Readable.
import { CODES, HeraldError } from './error.mjs';

// inNode tells Node from pages and their workers.
export const inNode = typeof process === 'object' && !!process.versions?.node && typeof document === 'undefined';

// makeTransport gives the transport for options of Herald.connect.
export function makeTransport({ url, socketPath }) {
  return inNode ? nodeTransport(url, socketPath) : fetchTransport(url);
}

function unreachable(where, e) {
  return new HeraldError(CODES.unreachable, `the herald daemon at ${where} cannot be reached: ${e?.message ?? e}`, { cause: e });
}

// placeOf names the daemon, in errors and for its positions.
export function placeOf({ url, socketPath }) {
  if (url) return url.replace(/\/+$/, '');
  if (inNode) return socketPath || process.env.HERALD_SOCKET || '/run/herald/herald.sock';
  return typeof location === 'object' ? location.origin : '';
}

function fetchTransport(url = '') {
  const base = url.replace(/\/+$/, '');
  return async ({ method, path, headers, body, signal, keepalive }) => {
    let res;
    try {
      res = await fetch(base + path, { method, headers, body, signal, keepalive, cache: 'no-store', redirect: 'error', credentials: 'same-origin' });
    } catch (e) {
      if (signal?.aborted) throw e;
      throw unreachable(placeOf({ url }), e);
    }
    return {
      status: res.status,
      header: name => res.headers.get(name),
      text: () => res.text(),
      async *chunks() {
        const reader = res.body.getReader();
        try {
          for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            yield value;
          }
        } finally {
          reader.cancel().catch(() => {}); // of a stream that has ended
        }
      },
    };
  };
}

function nodeTransport(url, socketPath) {
  const where = placeOf({ url, socketPath });
  const target = url ? new URL(url) : null;
  const prefix = target ? target.pathname.replace(/\/+$/, '') : '';
  let parts; // the modules, loaded at the first request
  const load = async () => {
    const http = await import(target?.protocol === 'https:' ? 'node:https' : 'node:http');
    const { pipeline, Readable } = await import('node:stream');
    // Connections are used again, and given up before the daemon does so.
    return { http, pipeline, Readable, agent: new http.Agent({ keepAlive: true, timeout: 60000 }) };
  };
  return async ({ method, path, headers, body, signal }) => {
    parts ??= load();
    const { http, pipeline, Readable, agent } = await parts;
    const options = { method, path: prefix + path, headers: { ...headers }, signal, agent };
    if (target) Object.assign(options, { host: target.hostname.replace(/^\[|\]$/g, ''), port: target.port, headers: { ...headers, Host: target.host } });
    else options.socketPath = where;
    return new Promise((resolve, reject) => {
      const req = http.request(options, res => resolve({
        status: res.statusCode,
        header: name => res.headers[name.toLowerCase()] ?? null,
        async text() {
          res.setEncoding('utf8');
          let text = '';
          for await (const piece of res) text += piece;
          return text;
        },
        chunks: () => res,
      }));
      req.on('error', e => reject(signal?.aborted ? e : unreachable(where, e))); // after the answer it changes nothing
      const end = source => pipeline(source, req, () => {}); // its error is the request's
      if (body == null || typeof body === 'string' || body instanceof Uint8Array) {
        if (body != null) req.setHeader('Content-Length', Buffer.byteLength(body));
        req.end(body);
      } else {
        req.setHeader('Content-Length', body.size);
        end(body.open ? body.open() : Readable.from(body.stream()));
      }
    });
  };
}

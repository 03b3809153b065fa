// The client of a board: the objects Im and calling of the document, and what is
// around them.
import { asError, CODES, HeraldError, refusal } from './error.mjs';
import { download, isFile, upload } from './file.mjs';
import { makeStore } from './position.mjs';
import { FILE_FIELDS, LISTENERS, METHODS } from './registry.mjs';
import { EventStream, hand } from './stream.mjs';
import { makeTransport, placeOf } from './transport.mjs';
import { Views } from './view.mjs';

// oneArgument are the methods whose callback has one argument, also for an error.
const oneArgument = new Set(['im.getVersion', 'im.getServerTime']);

// eventsOnly are the listeners that the document describes without {status: true}.
const eventsOnly = new Set(['im.setSimpleMsgListener', 'calling.setCallingListener']);

const answerTime = 60000; // ms; the daemon itself gives up earlier

// Herald is the connection of a program with one board. Im, calling and device have
// the methods of the registry; a method takes its parameters and a callback
// (ret, err), or gives a promise where there is none.
//
// Options, all of them optional:
//   url         where the board's API is; in a page its own origin, in Node the socket
//   socketPath  the daemon's socket (Node); $HERALD_SOCKET, /run/herald/herald.sock
//   token       for the API on TCP, or a function that gives it; in a page
//               sessionStorage's herald.token
//   onGap       told {from, to, reason} when events were missed for good
//   position    where to keep how far events were read: 'localStorage', {file: path},
//               {load, save}; else new events only
//   timeout     for an answer in ms, 60000
//   patience    parts of the event stream's times, see stream.mjs
export class Herald {
  #options;
  #transport;
  #stream;
  #views;

  constructor(options = {}) {
    this.#configure(options);
    for (const [module, names] of Object.entries(METHODS)) {
      const target = {};
      for (const name of names) target[name] = this.#method(`${module}.${name}`, target);
      this[module === 'im' ? 'Im' : module] = target;
    }
    this.Im.uploadFile = (data, options, callback) => {
      if (typeof options === 'function') [options, callback] = [{}, options];
      return settle(this.uploadFile(data, options), callback);
    };
    this.Im.downloadFile = (url, callback) => settle(this.downloadFile(url), callback);
  }

  // connect has the Im and calling of the module speak to a board. It ends the
  // listeners they had.
  static connect(options = {}) {
    standard.close();
    standard.#configure(options);
    return standard;
  }

  #configure(options) {
    this.#options = options;
    this.#transport = makeTransport(options);
    const request = what => this.#request(what);
    this.#stream = new EventStream({
      request, onGap: options.onGap, patience: options.patience, store: makeStore(options.position, placeOf(options)),
    });
    this.#views = new Views(request);
  }

  // call runs a method by its full name and gives what it returns.
  async call(method, params = {}) {
    const [module, name] = method.split('.');
    let body;
    try {
      body = JSON.stringify(params ?? {});
    } catch (e) {
      throw new HeraldError(CODES.invalid, `${method}: the parameters are no JSON: ${e.message}`, { cause: e });
    }
    const time = this.#options.timeout ?? answerTime;
    const patience = new AbortController(), timer = setTimeout(() => patience.abort(), time);
    try {
      const res = await this.#request({
        method: 'POST', path: `/v1/${module}/${name}`, headers: { 'Content-Type': 'application/json' }, body, signal: patience.signal,
      });
      const text = await res.text();
      if (res.status !== 200) throw refusal(res.status, text);
      return withElems(JSON.parse(text));
    } catch (e) {
      if (patience.signal.aborted) throw new HeraldError(CODES.timeout, `${method}: no answer in ${time} ms; it may be done or not`);
      throw asError(e, method);
    } finally {
      clearTimeout(timer);
    }
  }

  // uploadFile gives a file to the board; in Node a path will do.
  async uploadFile(data, { name } = {}) {
    try {
      return await upload(what => this.#request(what), data, name);
    } catch (e) {
      throw asError(e, 'uploadFile');
    }
  }

  // downloadFile gives a file of a message as a Blob, by its url in the message. The
  // board fetches it from the hub if it has to.
  async downloadFile(url) {
    if (!/^\/v1\/files\/\w+$/.test(url)) throw new HeraldError(CODES.invalid, 'downloadFile: it is not the url of a file in a message');
    try {
      return await download(what => this.#request(what), url);
    } catch (e) {
      throw asError(e, 'downloadFile');
    }
  }

  // view shows the picture at a URL of the API, at rect or in element; only in pages.
  view(url, options = {}) { return this.#views.view(url, options); }

  // close ends the listeners and the pictures, and is done when they have gone.
  async close() { await Promise.all([this.#stream.close(), this.#views.close()]); }

  async #request(what) {
    let { token } = this.#options;
    if (typeof token === 'function') token = await token();
    token ??= storedToken();
    return this.#transport({ ...what, headers: token ? { ...what.headers, Authorization: `Bearer ${token}` } : what.headers });
  }

  // #method makes the function of one method.
  #method(method) {
    const set = /^set(\w+)Listener$/.test(method.split('.')[1]);
    const category = LISTENERS[method];
    return (params, callback) => {
      if (typeof params === 'function') [params, callback] = [{}, params];
      if (category && set) return this.#listen(method, category, callback);
      if (category) {
        this.#stream.remove(category);
        return settle(Promise.resolve({ status: true }), callback);
      }
      return settle(this.#run(method, params ?? {}), callback, oneArgument.has(method));
    };
  }

  // #listen gives a promise beside the callback: it is kept when the listener stands.
  #listen(method, category, callback) {
    if (typeof callback !== 'function') {
      return Promise.reject(new HeraldError(CODES.invalid, `${method}: a function is needed that takes the events`));
    }
    const call = (ret, err) => callback(ret && withElems(ret), err);
    const ready = this.#stream.add(category, call, !eventsOnly.has(method));
    ready.catch(() => {}); // the callback is told, too
    return ready;
  }

  // #run is a method with what the client does for it: files go up first, pictures
  // are drawn.
  async #run(method, params) {
    const { element, muted, ...rest } = params; // how to draw is the page's affair
    const sent = method in FILE_FIELDS ? await this.#withUploads(method, rest) : rest;
    if (method === 'calling.stopRemoteView') await this.#views.hide(params.userId);
    if (method === 'calling.closeCamera') await this.#views.hide('');
    const ret = await this.call(method, sent);
    switch (method) {
      case 'calling.startRemoteView': await this.#views.show(params.userId, ret.url, { element, rect: params.rect, muted }); break;
      case 'calling.openCamera': await this.#views.show('', ret.url, { element, rect: params.rect, muted }); break;
      case 'calling.hangup': case 'calling.logout': case 'calling.destroy': await this.#views.hideCall(); break;
    }
    return ret;
  }

  async #withUploads(method, params) {
    const out = { ...params };
    for (const field of FILE_FIELDS[method]) {
      if (!isFile(params[field])) continue;
      if (field === 'filePath') out.fileName ??= params[field].name;
      out[field] = (await this.uploadFile(params[field])).upload;
    }
    return out;
  }
}

function storedToken() {
  try {
    return sessionStorage.getItem('herald.token');
  } catch {
    return null; // not in a page, or one without storage
  }
}

// settle tells a callback how a promise ends, or gives the promise where there is no
// callback.
function settle(promise, callback, one = false) {
  if (typeof callback !== 'function') return promise;
  promise.then(
    ret => hand(callback, ret),
    e => {
      const err = asError(e, 'call').toJSON();
      if (one) hand(callback, err);
      else hand(callback, undefined, err);
    },
  );
  return undefined;
}

// withElems gives messages the property elem beside msg: the document calls the same
// object by both names.
function withElems(value) {
  if (Array.isArray(value)) {
    for (const v of value) withElems(v);
  } else if (value && typeof value === 'object') {
    if (typeof value.elemType === 'number' && value.msg && typeof value.msg === 'object') value.elem = value.msg;
    for (const [key, v] of Object.entries(value)) if (key !== 'elem' && key !== 'msg') withElems(v);
  }
  return value;
}

const standard = new Herald();

// Im, calling and device are those of the board that Herald.connect names, or of the
// one where the program runs.
export const { Im, calling, device } = standard;

// Pictures of cameras and calls, drawn in the page by way of WHEP.
import { asError, CODES, HeraldError, isFinal, refusal, waitBefore } from './error.mjs';

const gatherTime = 1000; // ms: the board and the page are on one machine or network
const connectTime = 4000; // ms that a connection may take once the board has answered
const lostTime = 3000; // ms for which a connection may be disconnected
const again = { first: 500, most: 5000 }; // ms

export const canView = typeof document === 'object' && typeof RTCPeerConnection === 'function';

// View shows one picture until it is stopped or the board says that it is over. It
// connects again by itself.
//
// Options: request(what) asks the daemon; url is the picture's; element is a <video>
// of the page, or rect says where to put one: {x, y, w, h} in CSS pixels of the
// window; muted is false for who wants the sound, too, which the board plays already;
// ended is called when the picture has gone for good, with the view and the reason,
// if it was not stopped.
export class View {
  #options;
  #video;
  #ours;
  #stopped = new AbortController();
  #running;
  #first;

  constructor(options) {
    this.#options = options;
    this.#ours = !options.element;
    this.#video = options.element ?? document.createElement('video');
    Object.assign(this.#video, { autoplay: true, playsInline: true, muted: options.muted !== false });
    if (this.#ours) {
      this.#video.className = 'herald-view';
      Object.assign(this.#video.style, { position: 'fixed', objectFit: 'cover', background: '#000', zIndex: 1000 });
      this.place(options.rect);
      document.body.append(this.#video);
    }
    this.#first = new Promise((resolve, reject) => { this.#running = this.#run(resolve, reject); });
  }

  // element is the <video>.
  get element() { return this.#video; }

  // shown is done when the board has answered, and fails if the picture cannot be had.
  shown() { return this.#first; }

  // draws tells whether it shows its picture in an element, or where there is none in
  // a <video> of its own, and goes on doing so.
  draws(element) { return !this.#stopped.signal.aborted && (element ? this.#video === element : this.#ours); }

  // place moves the picture.
  place(rect = {}) {
    const { x = 0, y = 0, w = 0, h = 0 } = rect;
    const px = n => (n > 0 ? `${n}px` : 'auto');
    Object.assign(this.#video.style, { left: `${x}px`, top: `${y}px`, width: px(w), height: px(h) });
  }

  // stop takes the picture away, and is done when the board knows.
  async stop() {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(resolve, reject) {
    const stopped = this.#stopped.signal;
    const leave = () => this.#stopped.abort();
    window.addEventListener('pagehide', leave);
    let why;
    try {
      for (let tries = 0, shown = false; !stopped.aborted;) {
        let connection;
        try {
          connection = new Connection(this.#options, this.#video, stopped);
          await connection.open();
          shown = true;
          tries = 0;
          resolve(this.#video);
          await connection.broken();
        } catch (e) {
          if (stopped.aborted) break;
          if (isFinal(e) || !shown) {
            why = asError(e, 'picture');
            reject(why);
            return;
          }
        } finally {
          await connection?.close();
        }
        await pause(waitBefore(++tries, again), stopped);
      }
      reject(new HeraldError(CODES.interrupted, 'picture: stopped'));
    } finally {
      window.removeEventListener('pagehide', leave);
      this.#video.srcObject = null;
      if (this.#ours) this.#video.remove();
      this.#options.ended?.(this, why);
    }
  }
}

// Connection is one WHEP connection of a view.
class Connection {
  #request;
  #url;
  #signal;
  #pc = new RTCPeerConnection();
  #view = ''; // its own URL at the board, once it is open

  constructor({ request, url, muted }, video, signal) {
    this.#request = request;
    this.#url = url;
    this.#signal = signal;
    const stream = new MediaStream();
    this.#pc.addTransceiver('video', { direction: 'recvonly' });
    if (muted === false) this.#pc.addTransceiver('audio', { direction: 'recvonly' });
    this.#pc.ontrack = e => { stream.addTrack(e.track); video.srcObject = stream; };
  }

  async open() {
    const pc = this.#pc;
    await pc.setLocalDescription(await pc.createOffer());
    await new Promise(done => {
      if (pc.iceGatheringState === 'complete') return done();
      pc.onicegatheringstatechange = () => { if (pc.iceGatheringState === 'complete') done(); };
      setTimeout(done, gatherTime);
    });
    const res = await this.#request({
      method: 'POST', path: this.#url, headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp, signal: this.#signal,
    });
    const text = await res.text();
    if (res.status !== 201) throw refusal(res.status, text);
    this.#view = res.header('Location');
    await pc.setRemoteDescription({ type: 'answer', sdp: text });
  }

  // broken is done when the connection is lost, or stopped.
  broken() {
    return new Promise(done => {
      const pc = this.#pc;
      let timer;
      const look = () => {
        clearTimeout(timer);
        if (['failed', 'closed'].includes(pc.connectionState)) done();
        else if (pc.connectionState === 'disconnected') timer = setTimeout(done, lostTime);
        else if (pc.connectionState !== 'connected') timer = setTimeout(done, connectTime);
      };
      pc.onconnectionstatechange = look;
      // The board says goodbye (DTLS close_notify), of which the connection's own state
      // tells seconds later.
      for (const { transport } of pc.getReceivers()) {
        const bye = () => { if (['failed', 'closed'].includes(transport?.state)) done(); };
        transport?.addEventListener('statechange', bye);
        bye();
      }
      this.#signal.addEventListener('abort', () => { clearTimeout(timer); done(); });
      look();
    });
  }

  async close() {
    this.#pc.close();
    if (!this.#view) return;
    // keepalive: it is sent also as the page goes. A view that has ended is no fault.
    await this.#request({ method: 'DELETE', path: this.#view, headers: {}, keepalive: true }).catch(() => {});
  }
}

function pause(ms, signal) {
  return new Promise(done => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); done(); });
    if (signal.aborted) done();
  });
}

// Views are the pictures that a page shows by the methods of calls.
export class Views {
  #request;
  #views = new Map(); // by whose picture it is: a userId, or '' for the board's own; others by themselves

  constructor(request) { this.#request = request; }

  // show draws the picture of user at url as the parameters of the method say:
  // element, or rect. Without either there is nothing to draw.
  async show(user, url, { element, rect, muted }) {
    if (!canView || !(element || rect)) return;
    for (let now; (now = this.#views.get(user));) {
      if (now.draws(element)) {
        if (!element) now.place(rect);
        await now.shown();
        return;
      }
      await now.stop();
    }
    const view = new View({
      request: this.#request, url, element, rect, muted, ended: v => { if (this.#views.get(user) === v) this.#views.delete(user); },
    });
    this.#views.set(user, view);
    await view.shown();
  }

  // view draws a picture that no method of calls is about.
  view(url, { element, rect, muted, ended }) {
    if (!canView) throw new HeraldError(CODES.invalid, 'view: there is no page to show a picture in');
    const view = new View({
      request: this.#request, url, element, rect, muted,
      ended: (v, why) => { this.#views.delete(v); ended?.(why); },
    });
    this.#views.set(view, view);
    view.shown().catch(() => {}); // who waits for it is told, and so is ended
    return view;
  }

  async hide(user) { await this.#views.get(user)?.stop(); }

  // hideCall takes away the pictures of others; all of them are of the call.
  async hideCall() { await Promise.all([...this.#views.keys()].filter(u => typeof u === 'string' && u !== '').map(u => this.hide(u))); }

  async close() { await Promise.all([...this.#views.values()].map(v => v.stop())); }
}

// The event stream: what listeners are told, what is resumed, what ends it.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Herald } from '../herald.mjs';
import { Board, Events } from './board.mjs';

const patience = { first: 5, most: 20 };
const text = n => ({ eventType: 'onRecvC2CTextMessage', msgId: `m${n}` });
let board, herald, gaps;

beforeEach(async () => {
  board = await Board.start();
  gaps = new Events();
  herald = connect();
});

const connect = more => new Herald({ url: board.url, patience, onGap: gaps.call, ...more });

afterEach(async () => {
  await herald.close();
  await board.stop();
});

const simple = async (h, events) => h.Im.setSimpleMsgListener({}, events.call);

test('listeners that are set one after another share one stream', async () => {
  const sdk = new Events(), msgs = new Events(), calls = new Events();
  herald.Im.setSDKListener({}, sdk.call);
  herald.calling.setCallingListener({}, calls.call);
  assert.deepEqual(await herald.Im.setSimpleMsgListener({}, msgs.call), { status: true });
  assert.deepEqual(await sdk.count(1), { status: true }); // as the document has it
  assert.equal(board.requests.length, 1);
  assert.deepEqual(board.streams[0].listen.sort(), ['calling', 'sdk', 'simple']);
  board.event(1, 'im.onRecvC2CTextMessage', text(1));
  board.event(0, 'im.onConnecting', { eventType: 'onConnecting' });
  board.event(2, 'calling.onCallEnd', { eventType: 'onCallEnd' });
  board.event(3, 'im.onSomethingOfALaterVersion', { eventType: 'x' });
  assert.deepEqual(await msgs.count(1), text(1)); // told events only
  assert.equal((await sdk.count(2)).eventType, 'onConnecting');
  assert.equal((await calls.count(1)).eventType, 'onCallEnd');
});

test('an event of two categories goes to both listeners, and has elem', async () => {
  const a = new Events(), b = new Events();
  herald.Im.setSimpleMsgListener({}, a.call);
  await herald.Im.setAdvancedMsgListener({}, b.call);
  board.event(1, 'im.onMessageStatusChanged', { eventType: 'onMessageStatusChanged' });
  board.event(2, 'im.onRecvNewMessage', { eventType: 'onRecvNewMessage', message: { elemType: 1, msg: { text: 'x' } } });
  await a.count(1);
  const { message } = await b.count(3);
  assert.equal(message.elem, message.msg);
  assert.equal(a.all.length, 1);
});

test('a broken stream is resumed behind the last event', async () => {
  const msgs = new Events();
  await simple(herald, msgs);
  assert.equal(board.streams[0].seen.headers['last-event-id'], undefined);
  board.event(7, 'im.onRecvC2CTextMessage', text(7));
  await msgs.count(1);
  for (const how of ['end', 'destroy']) {
    const opened = board.opened();
    board.streams[0][how]();
    assert.equal((await opened).seen.headers['last-event-id'], '7');
  }
  board.event(7, 'im.onRecvC2CTextMessage', text(7)); // again: it was told already
  board.event(8, 'im.onRecvC2CTextMessage', text(8));
  assert.deepEqual(await msgs.count(2), text(8));
});

test('a ping moves the position, and what a piece of the stream ends in is no matter', async () => {
  const msgs = new Events();
  await simple(herald, msgs);
  for (const piece of [': ping\nid: 1', '2\n\n', 'id: 13\r\neve', 'nt: im.onRecvC2CTextMessage\r', '\ndata: {"eventType":\r\ndata:"onRecv', 'ü"}\r\n\r\n']) {
    board.streams[0].write(piece);
    await new Promise(done => setTimeout(done, 5)); // pieces of their own, as far as TCP lets them be
  }
  assert.equal((await msgs.count(1)).eventType, 'onRecvü');
  const opened = board.opened();
  board.streams[0].end();
  assert.equal((await opened).seen.headers['last-event-id'], '13');
});

test('the daemon is gone for a while', async () => {
  const msgs = new Events();
  await simple(herald, msgs);
  board.event(3, 'im.onRecvC2CTextMessage', text(3));
  await msgs.count(1);
  await board.stop();
  await new Promise(done => setTimeout(done, 60)); // some tries fail
  const opened = board.opened();
  await board.again();
  assert.equal((await opened).seen.headers['last-event-id'], '3');
  assert.equal(msgs.all.length, 1); // nobody is told of it
});

test('silence is the end of a connection', async () => {
  herald = connect({ patience: { ...patience, silence: 60 } });
  const msgs = new Events();
  await simple(herald, msgs);
  assert.ok(await board.opened()); // without a word of ours
  board.event(1, 'im.onRecvC2CTextMessage', text(1));
  await msgs.count(1);
});

test('what is new begins with what is new, and what was there goes on', async () => {
  const msgs = new Events(), calls = new Events();
  await simple(herald, msgs);
  board.event(5, 'im.onRecvC2CTextMessage', text(5));
  await msgs.count(1);
  board.last = 9; // 6 to 9 happened and are on their way
  const opened = board.opened();
  const ready = herald.calling.setCallingListener({}, calls.call);
  const { seen } = await opened;
  assert.equal(seen.headers['last-event-id'], '5');
  await ready;
  board.event(6, 'calling.onInvited', { eventType: 'onInvited' }); // of before
  board.event(7, 'im.onRecvC2CTextMessage', text(7));
  board.event(10, 'calling.onCallEnd', { eventType: 'onCallEnd' });
  assert.equal((await calls.count(1)).eventType, 'onCallEnd');
  assert.deepEqual(msgs.all, [text(5), text(7)]);
});

test('a listener that is removed is told nothing more, and the last one ends the stream', async () => {
  const msgs = new Events(), calls = new Events();
  herald.calling.setCallingListener({}, calls.call);
  await simple(herald, msgs);
  assert.deepEqual(await herald.Im.removeSimpleMsgListener({}), { status: true });
  board.event(1, 'im.onRecvC2CTextMessage', text(1));
  board.event(2, 'calling.onCallEnd', { eventType: 'onCallEnd' });
  await calls.count(1);
  assert.deepEqual(msgs.all, []);
  herald.calling.removeCallingListener({}, () => {});
  for (const end = Date.now() + 10000; board.streams.length > 0 && Date.now() < end;) await new Promise(done => setTimeout(done, 5));
  assert.equal(board.streams.length, 0);
  await simple(herald, msgs); // and it can begin anew
  board.event(3, 'im.onRecvC2CTextMessage', text(3));
  assert.deepEqual(await msgs.count(1), text(3));
});

test('a listener takes the place of the one before, without a new stream', async () => {
  const a = new Events(), b = new Events();
  await simple(herald, a);
  await simple(herald, b);
  board.event(1, 'im.onRecvC2CTextMessage', text(1));
  assert.deepEqual(await b.count(1), text(1));
  assert.deepEqual(a.all, []);
  assert.equal(board.requests.length, 1);
});

test('a listener that is removed and set anew is told nothing until it stands', async () => {
  const b = new Events();
  let ready, stands = false, early = 0;
  await herald.calling.setCallingListener({}, () => {});
  await herald.Im.setSimpleMsgListener({}, () => {
    herald.Im.removeSimpleMsgListener({});
    ready = herald.Im.setSimpleMsgListener({}, ret => { if (!stands) early++; b.call(ret); });
    ready.then(() => { stands = true; });
  });
  board.last = 2;
  const opened = board.opened();
  const event = n => `id: ${n}\nevent: im.onRecvC2CTextMessage\ndata: ${JSON.stringify(text(n))}\n\n`;
  board.streams[0].write(event(1) + event(2));
  await opened;
  await ready;
  board.event(3, 'im.onRecvC2CTextMessage', text(3));
  await b.count(1);
  assert.deepEqual([early, b.all], [0, [text(3)]]);
});

test('a gap is told', async () => {
  const msgs = new Events();
  await simple(herald, msgs);
  const gap = { from: 4, to: 9, reason: 'trimmed' };
  board.streams[0].write(`id: 9\nevent: gap\ndata: ${JSON.stringify(gap)}\n\n`);
  assert.deepEqual(await gaps.count(1), gap);
  const opened = board.opened();
  board.streams[0].end();
  assert.equal((await opened).seen.headers['last-event-id'], '9');
  // Another journal, whose positions begin anew.
  board.streams[0].write('id: 0\nevent: gap\ndata: {"from":10,"to":0,"reason":"replaced"}\n\n');
  await gaps.count(2);
  board.event(1, 'im.onRecvC2CTextMessage', text(1));
  assert.deepEqual(await msgs.count(1), text(1));
});

test('no board: the listener is told and is none; a token that is not valid ends all', async () => {
  const msgs = new Events(), calls = new Events();
  const nobody = connect({ url: 'http://127.0.0.1:9' });
  await assert.rejects(nobody.Im.setSimpleMsgListener({}, msgs.call), { code: 9508 });
  assert.equal(msgs.all[0].err.code, 9508);
  await nobody.close();
  await assert.rejects(herald.Im.setSimpleMsgListener({}), { code: 6017 }); // without a function there is no use
  await herald.calling.setCallingListener({}, calls.call);
  board.token = 'another';
  board.streams[0].end();
  assert.equal((await calls.count(1)).err.code, 9506);
  const before = board.requests.length;
  await new Promise(done => setTimeout(done, 60));
  assert.equal(board.requests.length, before); // and it does not try again
});

test('busy streams: the new listener is told, the others go on', async () => {
  const calls = new Events(), msgs = new Events();
  await herald.calling.setCallingListener({}, calls.call);
  board.answers['/v1/events'] = () => ({ status: 503, body: { code: 9507, msg: 'all streams are in use' } });
  await assert.rejects(simple(herald, msgs), { code: 9507 });
  const opened = board.opened();
  delete board.answers['/v1/events'];
  assert.deepEqual((await opened).listen, ['calling']);
  assert.deepEqual(calls.all, []);
});

test('positions outlive the program', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'herald-')), file = join(dir, 'position');
  try {
    const msgs = new Events();
    const first = connect({ position: { file } });
    await simple(first, msgs);
    board.event(21, 'im.onRecvC2CTextMessage', text(21));
    await msgs.count(1);
    await first.close();
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { simple: 21 });
    const second = connect({ position: { file } });
    const opened = board.opened();
    await simple(second, msgs);
    assert.equal((await opened).seen.headers['last-event-id'], '21');
    board.event(22, 'im.onRecvC2CTextMessage', text(22));
    assert.deepEqual(await msgs.count(2), text(22));
    await second.close();
    await writeFile(file, 'damaged');
    const third = connect({ position: { file } });
    const anew = board.opened();
    await simple(third, msgs);
    assert.equal((await anew).seen.headers['last-event-id'], undefined);
    await third.close();
    // In a page's storage.
    const kept = new Map();
    globalThis.localStorage = { getItem: k => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
    const page = connect({ position: 'localStorage' });
    await simple(page, msgs);
    board.event(23, 'im.onRecvC2CTextMessage', text(23));
    await msgs.count(3);
    await page.close();
    assert.deepEqual([...kept], [[`herald.positions ${board.url}`, '{"simple":23}']]);
    assert.throws(() => connect({ position: 'somewhere' }), TypeError);
  } finally {
    delete globalThis.localStorage;
    await rm(dir, { recursive: true });
  }
});

test('another journal is noticed where only some positions are ahead', async () => {
  const store = { load: () => ({ simple: 500, calling: 10 }), save() {} };
  const h = connect({ position: store }), msgs = new Events();
  board.last = 50;
  h.calling.setCallingListener({}, () => {});
  await simple(h, msgs);
  assert.deepEqual(await gaps.count(1), { from: 501, to: 10, reason: 'replaced' });
  board.event(51, 'im.onRecvC2CTextMessage', text(51));
  assert.deepEqual(await msgs.count(1), text(51));
  await h.close();
});

test('another journal: a new listener begins with what is new, and there is one gap', async () => {
  const store = { load: () => ({ simple: 500 }), save() {} };
  const h = connect({ position: store }), msgs = new Events(), calls = new Events();
  board.last = 50;
  h.calling.setCallingListener({}, calls.call);
  await simple(h, msgs);
  const gap = { from: 501, to: 0, reason: 'replaced' };
  board.streams[0].write(`id: 0\nevent: gap\ndata: ${JSON.stringify(gap)}\n\n`); // as the daemon says of a position that it has not reached
  board.event(20, 'calling.onInvited', { eventType: 'onInvited' }); // of before
  board.event(21, 'im.onRecvC2CTextMessage', text(21));
  board.event(51, 'calling.onCallEnd', { eventType: 'onCallEnd' });
  assert.deepEqual(await msgs.count(1), text(21));
  assert.equal((await calls.count(1)).eventType, 'onCallEnd');
  assert.deepEqual(gaps.all, [gap]);
  await h.close();
});

test('a listener that was removed before its stream stood leaves no position', async () => {
  const saved = [], store = { load: () => ({}), save: p => { saved.push(p); } };
  const h = connect({ position: store }), msgs = new Events();
  board.silent = true;
  const opened = board.opened();
  h.calling.setCallingListener({}, () => {}).catch(() => {});
  const ready = simple(h, msgs), stream = await opened;
  h.calling.removeCallingListener({});
  stream.begin();
  await ready;
  board.event(3, 'im.onRecvC2CTextMessage', text(3));
  await msgs.count(1);
  await h.close();
  assert.deepEqual(saved.at(-1), { simple: 3 });
});

test('what a listener throws is its program\'s, and the stream goes on', async () => {
  const msgs = new Events(), thrown = [];
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', e => thrown.push(e.message));
  try {
    await herald.Im.setSimpleMsgListener({}, ret => { msgs.call(ret); throw new Error(`at ${ret.msgId}`); });
    board.event(1, 'im.onRecvC2CTextMessage', text(1));
    board.event(2, 'im.onRecvC2CTextMessage', text(2));
    await msgs.count(2);
    await new Promise(done => setImmediate(done));
    assert.deepEqual(thrown, ['at m1', 'at m2']);
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const l of others) process.on('uncaughtException', l);
  }
});

test('close leaves nothing', async () => {
  await simple(herald, new Events());
  await herald.close();
  for (const end = Date.now() + 10000; board.streams.length > 0 && Date.now() < end;) await new Promise(done => setTimeout(done, 5));
  assert.equal(board.streams.length, 0);
});

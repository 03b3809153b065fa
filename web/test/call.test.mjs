// Calls of methods: callbacks, promises, errors, the token, files.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Herald, HeraldError } from '../herald.mjs';
import { METHODS } from '../src/registry.mjs';
import { Board } from './board.mjs';

let board, herald;

beforeEach(async () => {
  board = await Board.start();
  herald = new Herald({ url: board.url });
});

afterEach(async () => {
  await herald.close();
  await board.stop();
});

const asked = method => new Promise(done => method((...args) => done(args)));

test('every method of the registry is there and asks its path', async () => {
  for (const [module, names] of Object.entries(METHODS)) {
    const target = module === 'im' ? herald.Im : herald[module];
    for (const name of names.filter(n => !/Listener$/.test(n))) {
      assert.deepEqual(await target[name]({ userId: 'x' }), { status: true });
      const { method, url, body, headers } = board.requests.at(-1);
      assert.deepEqual([method, url, body, headers['content-type']], ['POST', `/v1/${module}/${name}`, '{"userId":"x"}', 'application/json']);
    }
  }
});

test('a callback gets ret or err, never both', async () => {
  assert.deepEqual(await asked(cb => herald.Im.logout({}, cb)), [{ status: true }]);
  assert.deepEqual(await asked(cb => herald.Im.logout(cb)), [{ status: true }]);
  board.answers['/v1/im/logout'] = () => ({ status: 409, body: { code: 6013, msg: 'init has not been called' } });
  const [ret, err] = await asked(cb => herald.Im.logout({}, cb));
  assert.equal(ret, undefined);
  assert.deepEqual(JSON.parse(JSON.stringify(err)), { code: 6013, msg: 'init has not been called' });
});

test('a promise is rejected with an Error that has code and msg', async () => {
  board.answers['/v1/im/logout'] = () => ({ status: 409, body: { code: 6013, msg: 'init has not been called' } });
  await assert.rejects(herald.Im.logout(), e => e instanceof HeraldError && e instanceof Error && e.code === 6013 && e.msg === 'init has not been called' && e.message === e.msg);
});

test('getVersion and getServerTime have one argument, also for an error', async () => {
  for (const name of ['getVersion', 'getServerTime']) {
    assert.deepEqual(await asked(cb => herald.Im[name]({}, cb)), [{ status: true }]);
    board.answers[`/v1/im/${name}`] = () => ({ status: 503, body: { code: 9508, msg: 'offline' } });
    assert.deepEqual(await asked(cb => herald.Im[name]({}, cb)), [{ code: 9508, msg: 'offline' }]);
  }
});

test('no board, no answer, and an answer that is not Herald\'s', async () => {
  const nobody = new Herald({ url: 'http://127.0.0.1:9' });
  await assert.rejects(nobody.Im.logout(), { code: 9508, msg: /cannot be reached/ });
  const noSocket = new Herald({ socketPath: '/nowhere/herald.sock' });
  await assert.rejects(noSocket.Im.logout(), { code: 9508, msg: /nowhere/ });
  board.answers['/v1/im/logout'] = () => ({ status: 502, raw: '<html>' });
  await assert.rejects(herald.Im.logout(), { code: 7012, msg: /502/ });
  board.answers['/v1/im/logout'] = () => ({ raw: 'not json' });
  await assert.rejects(herald.Im.logout(), { code: 7012 });
  board.answers['/v1/im/logout'] = () => ({ never: true });
  const hasty = new Herald({ url: board.url, timeout: 20 });
  await assert.rejects(hasty.Im.logout(), { code: 6012, msg: /20 ms/ });
  const circle = {};
  circle.circle = circle;
  await assert.rejects(herald.Im.logout(circle), { code: 6017 });
});

test('the token is shown, and asked for each time where it is a function', async () => {
  board.token = 'sesame';
  await assert.rejects(herald.Im.logout(), { code: 9506 });
  let asked = 0;
  for (const token of ['sesame', () => { asked++; return 'sesame'; }, async () => 'sesame']) {
    const h = new Herald({ url: board.url, token });
    await h.Im.logout();
    await h.Im.logout();
  }
  assert.equal(asked, 2);
  globalThis.sessionStorage = { getItem: key => (key === 'herald.token' ? 'sesame' : null) };
  try {
    await herald.Im.logout();
  } finally {
    delete globalThis.sessionStorage;
  }
});

test('the socket, an address with a path, and connect', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'herald-'));
  const onSocket = await Board.start({ path: join(dir, 's') });
  process.env.HERALD_SOCKET = join(dir, 's');
  const { Herald: Own, Im } = await import('../herald.mjs?connect');
  try {
    assert.deepEqual(await Im.logout(), { status: true }); // what is there without connect
    delete process.env.HERALD_SOCKET;
    Own.connect({ socketPath: join(dir, 's') });
    assert.deepEqual(await Im.logout(), { status: true });
    assert.equal(onSocket.requests.length, 2);
    Own.connect({ url: `${board.url}/front/door/` });
    board.answers['/front/door/v1/im/logout'] = () => ({ body: { status: true, there: 1 } });
    assert.deepEqual(await Im.logout(), { status: true, there: 1 });
  } finally {
    delete process.env.HERALD_SOCKET;
    await onSocket.stop();
    await rm(dir, { recursive: true });
  }
});

test('the package gives the same to require as to import', async () => {
  const required = createRequire(import.meta.url)('herald-client');
  const imported = await import('herald-client');
  assert.equal(imported.Herald, Herald);
  assert.notEqual(required.Herald, Herald);
  assert.deepEqual(Object.keys(required).sort(), Object.keys(imported).sort());
  assert.deepEqual(await new required.Herald({ url: board.url }).Im.logout(), { status: true });
});

test('a classic script makes globals', async () => {
  const { readFile } = await import('node:fs/promises');
  const { runInNewContext } = await import('node:vm');
  const world = { URL, setTimeout, clearTimeout, queueMicrotask, AbortController, TextDecoder, document: { readyState: 'complete' }, location: { origin: 'http://board' } };
  runInNewContext(await readFile(new URL('../herald.js', import.meta.url), 'utf8'), world);
  assert.equal(typeof world.Im.login, 'function');
  assert.equal(typeof world.calling.call, 'function');
  assert.equal(typeof world.Herald.connect, 'function');
});

test('messages have elem beside msg, wherever they are', async () => {
  const message = { msgId: 'm', elemType: 1, msg: { text: 'x' } };
  board.answers['/v1/im/getC2CHistoryMessageList'] = () => ({ body: { status: true, messageList: [message] } });
  board.answers['/v1/im/getConversationList'] = () => ({ body: { status: true, conversationList: [{ lastMessage: message }, {}] } });
  const { messageList } = await herald.Im.getC2CHistoryMessageList({ userId: 'x' });
  assert.equal(messageList[0].elem, messageList[0].msg);
  const { conversationList } = await herald.Im.getConversationList({});
  assert.equal(conversationList[0].lastMessage.elem.text, 'x');
});

test('files go up before the message that names them', async () => {
  board.answers['/v1/files'] = r => ({ body: { status: true, upload: `upload:${r.body}`, size: r.body.length, uuid: 'u' } });
  await herald.Im.createImageMessage({ img: new Blob(['pic']) });
  assert.deepEqual(board.requests.map(r => [r.url, r.body]), [['/v1/files', 'pic'], ['/v1/im/createImageMessage', '{"img":"upload:pic"}']]);
  assert.equal(board.requests[0].headers['content-length'], '3');
  board.requests.length = 0;
  await herald.Im.createVideoMessage({ videoFilePath: new TextEncoder().encode('film'), type: 'mp4', snapshotPath: Buffer.from('still') });
  assert.equal(board.requests.at(-1).body, '{"videoFilePath":"upload:film","type":"mp4","snapshotPath":"upload:still"}');
  await herald.Im.createSoundMessage({ path: new Blob(['tone']), duration: 3 });
  assert.equal(board.requests.at(-1).body, '{"path":"upload:tone","duration":3}');
  await herald.Im.createSoundMessage({ soundPath: '/a/path', soundDuration: 3 }); // the daemon reads it itself
  assert.equal(board.requests.at(-1).body, '{"soundPath":"/a/path","soundDuration":3}');
  const named = Object.assign(new Blob(['text']), { name: 'ü b.txt' });
  await herald.Im.createFileMessage({ filePath: named });
  assert.equal(board.requests.at(-2).url, '/v1/files?name=%C3%BC%20b.txt');
  assert.equal(board.requests.at(-1).body, '{"filePath":"upload:text","fileName":"ü b.txt"}');
  board.answers['/v1/files'] = () => ({ status: 413, body: { code: 7005, msg: 'too large' } });
  const [ret, err] = await asked(cb => herald.Im.createImageMessage({ img: new Blob(['pic']) }, cb));
  assert.deepEqual([ret, err], [undefined, { code: 7005, msg: 'too large' }]);
});

test('uploadFile takes a path in Node, an empty file too', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'herald-'));
  try {
    for (const content of ['what is in it'.repeat(100000), '']) {
      await writeFile(join(dir, 'f.txt'), content);
      const seen = new Promise(done => { board.answers['/v1/files'] = r => { done(r); return { body: { status: true, upload: 'upload:1' } }; }; });
      assert.equal((await herald.Im.uploadFile(join(dir, 'f.txt'))).upload, 'upload:1');
      const r = await seen;
      assert.deepEqual([r.url, r.body === content, r.headers['content-length']], ['/v1/files?name=f.txt', true, String(content.length)]);
    }
    await assert.rejects(herald.Im.uploadFile(join(dir, 'nothing')), { code: 6017, msg: /no such file/ });
    await assert.rejects(herald.Im.uploadFile(7), { code: 6017 });
    const [ret] = await asked(cb => herald.Im.uploadFile(Buffer.from('x'), { name: 'n' }, cb));
    assert.equal(ret.upload, 'upload:1');
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('downloadFile gives what is behind the url of a message, and nothing else', async () => {
  const bytes = Buffer.from([0, 255, 1, 254]);
  board.answers['/v1/files/abc'] = () => ({ raw: bytes });
  board.token = 'sesame';
  const h = new Herald({ url: board.url, token: 'sesame' });
  const blob = await h.Im.downloadFile('/v1/files/abc');
  assert.deepEqual(Buffer.from(await blob.arrayBuffer()), bytes);
  board.answers['/v1/files/abc'] = () => ({ status: 404, body: { code: 114, msg: 'gone' } });
  assert.deepEqual((await asked(cb => h.Im.downloadFile('/v1/files/abc', cb)))[1], { code: 114, msg: 'gone' });
  for (const url of ['/v1/im/logout', '//evil.example/v1/files/a', '', undefined]) await assert.rejects(h.Im.downloadFile(url), { code: 6017 });
});

// Files that go to the board before a message names them: a daemon cannot read a
// page's files, nor those of a program on another machine.
import { CODES, HeraldError, refusal } from './error.mjs';
import { inNode } from './transport.mjs';

// toBody makes a transport's body of what a program gives: a Blob or File, bytes
// (ArrayBuffer, Buffer, any view), or in Node the path of a file.
async function toBody(data) {
  if (typeof Blob === 'function' && data instanceof Blob) return { body: data, name: data.name };
  if (data instanceof ArrayBuffer) return { body: new Uint8Array(data) };
  if (ArrayBuffer.isView(data)) return { body: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
  if (typeof data === 'string' && inNode) {
    const fs = await import('node:fs'), { basename } = await import('node:path');
    try {
      const { size } = await fs.promises.stat(data);
      // A file that grows meanwhile is cut where it ended, as its length was said.
      return { body: { size, open: () => fs.createReadStream(data, { end: Math.max(0, size - 1) }) }, name: basename(data) };
    } catch (e) {
      throw new HeraldError(CODES.invalid, `uploadFile: ${e.message}`, { cause: e });
    }
  }
  throw new HeraldError(CODES.invalid, 'uploadFile: a Blob, File, ArrayBuffer or typed array is needed, or in Node a path');
}

// isFile tells whether a parameter is a file's content rather than its path.
export function isFile(value) {
  return typeof Blob === 'function' && value instanceof Blob || value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

// upload gives a file to the board: {status, upload, size, uuid}. upload stands for
// its path in the methods that make messages, for 24 hours.
export async function upload(request, data, name) {
  const { body, name: own } = await toBody(data);
  name ??= own;
  const res = await request({
    method: 'POST', path: `/v1/files${name ? `?name=${encodeURIComponent(name)}` : ''}`,
    headers: { 'Content-Type': 'application/octet-stream' }, body,
  });
  const text = await res.text();
  if (res.status !== 200) throw refusal(res.status, text);
  return JSON.parse(text);
}

// download gives the content of a file of a message: a page's <img> cannot show the
// token, and what URL.createObjectURL makes of this needs none.
export async function download(request, url) {
  const res = await request({ method: 'GET', path: url, headers: {} });
  if (res.status !== 200) throw refusal(res.status, await res.text());
  const pieces = [];
  for await (const piece of res.chunks()) pieces.push(piece);
  return new Blob(pieces, { type: res.header('Content-Type') ?? '' });
}

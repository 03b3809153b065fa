// A page that was written for the document's container, with the script element alone.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import vm from 'node:vm';

const script = await readFile(new URL('../herald.js', import.meta.url), 'utf8');
const turn = () => new Promise(done => setTimeout(done, 20)); // timers of the page are over

// Page is as much of a window as the script touches there.
class Page extends EventTarget {
  constructor(readyState, more = {}) {
    super();
    this.window = { innerWidth: 800, innerHeight: 600, document: { readyState }, setTimeout, clearTimeout, AbortController, ready: 0, ...more };
    this.window.addEventListener = (...args) => this.addEventListener(...args);
    vm.createContext(this.window);
    this.run(script);
  }

  run(text) { return vm.runInContext(text, this.window); }

  // goesOn is what the browser does once it has read the page.
  async goesOn(state, event) {
    this.window.document.readyState = state;
    this.dispatchEvent(new Event(event));
    await turn();
  }

  // begins is what such a page has in its own script.
  begins() { this.run("apiready = function () { ready++; im = api.require('tencentIMPro'); calls = api.require('tencentIMProCalling'); size = [api.winWidth, api.winHeight]; }"); }

  ended(what) {
    assert.equal(this.window.ready, 1, what);
    assert.equal(this.window.im, this.window.Im, what);
    assert.equal(this.window.calls, this.window.calling, what);
    assert.deepEqual([...this.window.size], [800, 600], what);
  }
}

test('apiready is called once, wherever the script element stands', async () => {
  for (const [what, state] of [['in the head or at the end', 'loading'], ['deferred, and the next one is slow', 'interactive']]) {
    const page = new Page(state);
    await turn();
    page.begins();
    await page.goesOn('interactive', 'DOMContentLoaded');
    page.ended(what);
    await page.goesOn('complete', 'load');
    page.ended(what);
  }
  const late = new Page('interactive'); // after DOMContentLoaded
  late.begins();
  await late.goesOn('complete', 'load');
  late.ended('async');
  const last = new Page('complete');
  last.begins();
  await turn();
  last.ended('after the page');
});

test('a page without apiready, and one that asks for another module', async () => {
  const page = new Page('loading');
  await page.goesOn('interactive', 'DOMContentLoaded');
  assert.throws(() => page.run("api.require('camera')"), /no module camera/);
  assert.throws(() => page.run("api.require('toString')"), /no module toString/);
});

test('a container keeps what it has', async () => {
  const asked = [];
  const api = { winWidth: 1, require(name) { asked.push(name, this === api); return 'its own'; } };
  const page = new Page('loading', { api });
  page.begins();
  await page.goesOn('interactive', 'DOMContentLoaded');
  await page.goesOn('complete', 'load');
  assert.equal(page.window.ready, 0, 'the container calls apiready');
  assert.equal(page.run("api.require('camera')"), 'its own');
  assert.deepEqual(asked, ['camera', true]);
  assert.equal(page.run("api.require('tencentIMPro') === Im && api.require('tencentIMProCalling') === calling && api.winWidth"), 1);
});

test('what a page declares by the same names is its own', () => {
  const page = new Page('loading');
  page.run("var Im = api.require('tencentIMPro'); const calling = api.require('tencentIMProCalling');");
  assert.equal(page.run("calling === api.require('tencentIMProCalling') && Im === api.require('tencentIMPro')"), true);
});

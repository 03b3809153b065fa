// install makes the client the globals of a page. Pages that were written for the
// document's container ask for its modules with api.require and begin in apiready:
// where there is no such container, this is enough of one for them.
export function install(root, client) {
  Object.assign(root, client);
  const modules = { tencentIMPro: client.Im, tencentIMProCalling: client.calling };
  const contained = root.api !== undefined;
  const api = root.api ?? {};
  const others = api.require;
  api.require = name => {
    if (Object.hasOwn(modules, name)) return modules[name];
    if (others) return others.call(api, name);
    throw new Error(`api.require: there is no module ${name}: there are tencentIMPro and tencentIMProCalling`);
  };
  root.api = api;
  if (contained || typeof document !== 'object') return;
  Object.defineProperties(api, {
    winWidth: { get: () => root.innerWidth, enumerable: true },
    winHeight: { get: () => root.innerHeight, enumerable: true },
  });
  // A script that is deferred runs when the page is read, and others may still come:
  // then DOMContentLoaded is to be waited for, or load where that is over.
  let begun = false;
  const ready = () => {
    if (begun || typeof root.apiready !== 'function') return;
    begun = true;
    root.apiready();
  };
  if (document.readyState === 'complete') setTimeout(ready); // the rest of the page's scripts come first
  else for (const event of ['DOMContentLoaded', 'load']) root.addEventListener(event, ready);
}

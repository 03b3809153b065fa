// The list of cases, in the order in which they run: each family in a file of its own.
import { advanced } from './advanced.mjs';
import { call } from './call.mjs';
import { conversation } from './conversation.mjs';
import { group } from './group.mjs';
import { people } from './people.mjs';
import { samples } from './sample.mjs';
import { sdk, sdkEnd } from './sdk.mjs';
import { signaling } from './signaling.mjs';
import { simple } from './simple.mjs';
import { World } from './world.mjs';

// families are the cases by family: [what it shows, what runs].
const families = { sdk, simple, signaling, advanced, conversation, group, people, call, sdkEnd };

// unraised are events that no case can have raised, with the reason.
const unraised = {
  'im.onSyncServerFailed': 'the link has to break between two packets',
  'calling.onError': 'it takes a device that fails; media and agent/calling test it',
  'device.onHistoryTruncated': 'it takes more messages than the hub tells at once; test/bench and device test it',
  'device.onHubRewound': 'the hub has to come back from an older copy; test/chaos tests it',
  'device.onStoreReplaced': 'the store has to be damaged; test/chaos tests it',
};

// run runs all cases and tells report of each {name, error, ms}. It gives the names
// of the methods and events that no case had succeed.
export async function run(client, config, report) {
  const world = new World(client, config);
  const one = async (name, body) => {
    const began = Date.now();
    let error = '';
    try {
      await body(world);
    } catch (e) {
      error = e.stack?.includes(e.message) ? e.stack : `${e.message}\n${e.stack}`;
    }
    error = [error, ...world.failures.splice(0)].filter(Boolean).join('\n');
    report({ name, error, ms: Date.now() - began });
  };
  for (const [family, cases] of Object.entries(families)) {
    for (const [name, body] of cases) await one(`${family}/${name}`, body);
  }
  await one('every method', () => {
    const methods = Object.entries(config.methods).flatMap(([module, names]) => names.map(n => `${module}.${n}`));
    const missing = methods.filter(m => !world.done.has(m)).map(m => (world.called.has(m) ? `${m} has not succeeded` : `${m} has no case`));
    for (const [method, fields] of Object.entries(config.spellings)) {
      for (const f of fields) if (!world.spelled.has(`${method} ${f}`)) missing.push(`${method} has no case with ${f}`);
    }
    if (missing.length > 0) throw new Error(missing.join('\n'));
  });
  await one('every event', () => {
    const missing = Object.keys(config.events).filter(e => !world.seen.has(e) && !(e in unraised));
    if (missing.length > 0) throw new Error(`never seen: ${missing.join(', ')}`);
  });
  if (config.spec) for (const [name, body] of samples(world)) await one(`document/${name}`, body);
  await one('close', () => world.close());
}

// Runs the cases in Node. The configuration is on the standard input; on the standard
// output there is a line of JSON for each case.
import * as client from '../herald.mjs';
import { EVENTS, METHODS } from '../src/registry.mjs';
import { run } from './cases.mjs';

let text = '';
for await (const piece of process.stdin) text += piece;
await run(client, { ...JSON.parse(text), methods: METHODS, events: EVENTS }, result => process.stdout.write(`${JSON.stringify(result)}\n`));

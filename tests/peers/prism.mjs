import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import { endWithStdin } from './lifetime.mjs';

const [document] = process.argv.slice(2);
if (document === undefined) {
  console.error('usage: node prism.mjs OPENAPI_FILE');
  process.exit(2);
}
endWithStdin();

// A thread, not a process: Prism then cannot outlive this one, however this one ends.
const prism = new Worker(new URL(import.meta.resolve('@stoplight/prism-cli')), {
  argv: ['mock', '--errors', '--host', '127.0.0.1', '--port', '0', document],
  stdout: true,
});
prism.on('exit', () => process.exit(1));

for await (const line of createInterface({ input: prism.stdout })) {
  const url = /Prism is listening on (\S+)/.exec(line)?.[1];
  if (url) console.log(JSON.stringify({ url }));
}

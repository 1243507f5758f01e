// Our CPU path in a page beside llama.cpp's (wllama), both on one thread of the same headless Chromium,
// one after the other in each round, so that what else the machine does falls on both:
//
//     node compare.mjs DIST SIZE MODEL [ROUNDS] [TOKENS]
//
// DIST is a build of the page, SIZE a preset, MODEL a file of `model.py` with the same shape. See
// docs/browser.md.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const [dist, size, model, rounds = '3', tokens = '64'] = process.argv.slice(2);
const here = import.meta.dirname;
const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
const places = [
    ['/peer/wllama/', join(here, 'node_modules/@wllama/wllama/esm')],
    ['/peer/', here],
    ['/', resolve(dist)],
];

/** The file that a path stands for. */
function file(path) {
    if (path === '/peer/model.gguf') {
        return resolve(model);
    }
    const [prefix, folder] = places.find(([prefix]) => path.startsWith(prefix));
    return join(folder, path.slice(prefix.length));
}

// No headers that isolate the page: neither engine gets shared memory, and with it threads.
const server = createServer(async ({ url }, reply) => {
    try {
        const path = file(new URL(url, 'http://localhost').pathname);
        const bytes = await readFile(path);
        reply.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' }).end(bytes);
    } catch {
        reply.writeHead(404).end();
    }
});
await new Promise((ready) => server.listen(0, 'localhost', ready));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });

/** One engine in a page of its own. */
async function time(engine, ...args) {
    const page = await browser.newPage();
    page.setDefaultTimeout(600_000);
    await page.goto(`http://localhost:${server.address().port}/peer/index.html`);
    await page.waitForFunction('globalThis.engines');
    const result = await page.evaluate(([engine, args]) => globalThis.engines[engine](...args), [engine, args]);
    await page.close();
    return result;
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const all = { signet: [], wllama: [] };
for (let round = 1; round <= Number(rounds); round++) {
    all.signet.push(await time('signet', size, Number(tokens), 'cpu'));
    all.wllama.push(await time('wllama', 'model.gguf', Number(tokens)));
    const told = Object.entries(all).map(([name, results]) => `${name} ${results.at(-1).decode.toFixed(1)}`);
    console.log(`round ${round}: ${told.join(', ')} tokens/s`);
}
for (const what of ['decode', 'prompt']) {
    const [ours, theirs] = ['signet', 'wllama'].map((name) => median(all[name].map((result) => result[what])));
    console.log(`${what}: signet ${ours.toFixed(1)}, wllama ${theirs.toFixed(1)} tokens/s (medians); ${(ours / theirs).toFixed(2)} times`);
}
await browser.close();
server.close();

// Decodes with either engine in this page, and gives tokens a second: `signet` from ../, a build of the
// page, and `wllama` from wllama/, its package's `esm`.

/** Tokens of the prompt. */
const PROMPT = 16;

/** Our engine's worker, as the page starts it; random weights of a preset's shape. */
export async function signet(size, tokens, device) {
    const module = await WebAssembly.compileStreaming(fetch('../signet_bg.wasm'));
    const worker = new Worker('../worker.js', { type: 'module' });
    const line = (what) => ({ text: JSON.stringify({ line: 1, what }) });
    const command = { command: 'bench_decode', bench: { size, prompt: PROMPT, tokens, dense: false, kernels: false }, device };
    try {
        return await new Promise((resolve, reject) => {
            let report;
            const told = [];
            worker.onerror = ({ message }) => reject(new Error(message));
            worker.onmessage = ({ data }) => {
                const { Event: event, Ended: ended } = data.failed ? {} : JSON.parse(data.text).what;
                if (event?.event === 'progress') {
                    told.push(performance.now());
                } else if (event?.event === 'bench_decode') {
                    report = event;
                } else if (data.failed || ended?.error) {
                    reject(new Error(data.failed ?? ended.error));
                } else if (ended) {
                    // Progress is told before each token and at the end; the mean, as wllama gives it.
                    const times = told.slice(-tokens - 1);
                    resolve({ decode: (1e3 * tokens) / (times[tokens] - times[0]), prompt: report.packed.prefill_tokens_per_second, report });
                }
            };
            worker.postMessage({ module });
            worker.postMessage(line({ Open: { tuning: 'once' } }));
            worker.postMessage(line({ Do: { command, fresh: true } }));
        });
    } finally {
        worker.terminate();
    }
}

/** llama.cpp in WebAssembly, on one thread and no GPU. */
export async function wllama(model, tokens) {
    const { Wllama } = await import('./wllama/index.js');
    const quiet = () => {};
    const engine = new Wllama({ default: new URL('wllama/wasm/wllama.wasm', import.meta.url).href }, { logger: { debug: quiet, log: quiet, warn: quiet, error: console.error } });
    await engine.loadModel([await (await fetch(model)).blob()], { n_threads: 1, n_gpu_layers: 0, n_ctx: 512 });
    // Once to warm up, as ours does. Each of these words is one token.
    const words = (first) => Array.from({ length: PROMPT }, (_, n) => `<w${(7 * n + first) % 100}>`).join('');
    let answer;
    for (const first of [0, 50]) {
        answer = await engine.createCompletion({ prompt: words(first), max_tokens: tokens, temperature: 0, ignore_eos: true, cache_prompt: false });
    }
    const { timings } = answer;
    if (timings.prompt_n !== PROMPT || timings.predicted_n !== tokens || engine.isMultithread()) {
        throw new Error(`not what was asked for: ${JSON.stringify(timings)}, ${engine.getNumThreads()} threads`);
    }
    await engine.exit();
    return { decode: timings.predicted_per_second, prompt: timings.prompt_per_second };
}

Object.assign(globalThis, { engines: { signet, wllama } });

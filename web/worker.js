// Web Worker that runs the engine in its own instance of the module, so that the page never blocks. The first
// message contains the compiled module.

import init from './signet.js';

// wgpu cannot request the browser's `subgroups` feature, though it passes such shaders through unchanged: request
// it here if the adapter has it.
const adapter = globalThis.GPUAdapter?.prototype;
if (adapter) {
    const request = adapter.requestDevice;
    adapter.requestDevice = function (descriptor = {}) {
        const features = new Set(descriptor.requiredFeatures ?? []);
        if (this.features.has('subgroups')) {
            features.add('subgroups');
        }
        return request.call(this, { ...descriptor, requiredFeatures: [...features] });
    };
}

// A module that has trapped does nothing any more; the page starts another worker.
function fatal(error) {
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
        postMessage({ failed: `the engine has stopped (${error.message})` });
    }
}
addEventListener('error', (event) => fatal(event.error));
addEventListener('unhandledrejection', (event) => fatal(event.reason));

/** Messages that arrive before the module has started; they are dispatched again afterwards. */
const early = [];
function wait(event) {
    event.stopImmediatePropagation();
    early.push(event);
}

async function begin({ data: { module } }) {
    addEventListener('message', wait);
    try {
        await init({ module_or_path: module });
    } catch (error) {
        postMessage({ failed: `cannot start the engine: ${error.message ?? error}` });
        throw error;
    }
    removeEventListener('message', wait);
    for (const { data, ports } of early) {
        dispatchEvent(new MessageEvent('message', { data, ports }));
    }
}

addEventListener('message', begin, { once: true });

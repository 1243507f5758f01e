// Hosts the engine: a module instance of its own, away from the page, so that the page never stalls.
// Its first message brings the compiled module.

import init from './signet.js';

// wgpu cannot ask a browser for subgroups, whose shaders it passes through unchanged: they are added
// to whatever it asks for, where the adapter has them.
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

// A module that has failed does nothing any more: the page hears of it, and starts another.
function fatal(error) {
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
        postMessage({ failed: `the engine has stopped (${error.message})` });
    }
}
addEventListener('error', (event) => fatal(event.error));
addEventListener('unhandledrejection', (event) => fatal(event.reason));

/** What comes while the module starts is heard once it has. */
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
        postMessage({ failed: `the engine could not be started (${error.message ?? error})` });
        throw error;
    }
    removeEventListener('message', wait);
    for (const { data, ports } of early) {
        dispatchEvent(new MessageEvent('message', { data, ports }));
    }
}

addEventListener('message', begin, { once: true });

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

/** What comes while the module starts is heard once it has. */
const early = [];
function wait(event) {
    event.stopImmediatePropagation();
    early.push(event);
}

async function begin({ data: { module } }) {
    addEventListener('message', wait);
    await init({ module_or_path: module });
    removeEventListener('message', wait);
    for (const { data, ports } of early) {
        dispatchEvent(new MessageEvent('message', { data, ports }));
    }
}

addEventListener('message', begin, { once: true });

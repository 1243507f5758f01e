// Starts the page: checks the browser's features, downloads and compiles the module once, and shares it with the
// user interface (here) and the engine (worker.js).

const shell = document.getElementById('shell');
const progress = document.getElementById('progress');
const status = document.getElementById('status');

/** Browsers with all features that are tested below. */
const BROWSERS = 'Use Chrome or Edge 108, Firefox 114, Safari 16.4, or a later version.';

/** Shows an error in place of the page. */
function fail(text) {
    shell.hidden = false;
    shell.classList.add('failed');
    status.setAttribute('role', 'alert');
    status.textContent = text;
}

/** Returns true if module workers are supported: the browser then reads the option `type`. */
function moduleWorkers() {
    let read = false;
    const options = {
        get type() {
            read = true;
            return 'module';
        },
    };
    try {
        // An invalid URL: the options are read before it is fetched.
        new Worker('blob://', options).terminate();
    } catch {
        // The worker need not start.
    }
    return read;
}

/** Returns descriptions of required features that this browser lacks. */
function missing() {
    // (module (func (result v128) (i8x16.splat (i32.const 0))))
    const simd = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
    const lacks = [];
    if (typeof WebAssembly !== 'object') {
        lacks.push('WebAssembly');
    } else if (!WebAssembly.validate(new Uint8Array(simd))) {
        lacks.push('WebAssembly with vector instructions (SIMD)');
    }
    if (!moduleWorkers()) {
        lacks.push('module workers');
    }
    if (!document.createElement('canvas').getContext('webgl2')) {
        lacks.push('WebGL 2 (check that it is enabled in the browser\'s settings)');
    }
    return lacks;
}

/** Compiles the module while it downloads. */
async function compile() {
    const sizes = fetch('files.json').then((answer) => answer.json()).catch(() => null);
    const answer = await fetch('signet_bg.wasm');
    if (!answer.ok) {
        throw new Error(`signet_bg.wasm: the server answers ${answer.status}`);
    }
    const listed = (await sizes)?.files.find((file) => file.name === 'signet_bg.wasm');
    if (listed) {
        progress.max = listed.bytes;
    }
    let seen = 0;
    const counted = answer.body.pipeThrough(
        new TransformStream({
            transform(part, to) {
                seen += part.byteLength;
                if (listed) {
                    progress.value = seen;
                }
                status.textContent = `Loading… ${(seen / 1e6).toFixed(1)} MB`;
                to.enqueue(part);
            },
        }),
    );
    return WebAssembly.compileStreaming(new Response(counted, { headers: { 'content-type': 'application/wasm' } }));
}

/** Starts a worker that runs the engine, with the compiled module. */
function startWorker(module) {
    const worker = new Worker('worker.js', { type: 'module', name: 'signet' });
    worker.postMessage({ module });
    // The worker reports its own errors; report here if its script could not be fetched.
    worker.addEventListener('error', (event) => {
        if (!(event instanceof ErrorEvent)) {
            worker.dispatchEvent(new MessageEvent('message', { data: { failed: 'worker.js could not be fetched' } }));
        }
    });
    return worker;
}

/** Registers the service worker for offline use, and shows when an update is available. */
async function keep() {
    if (!navigator.serviceWorker || !window.isSecureContext) {
        return;
    }
    const update = document.getElementById('update');
    const registration = await navigator.serviceWorker.register('sw.js', { updateViaCache: 'none' });
    const offer = () => {
        // The first version replaces nothing, so it is no update.
        update.hidden = !(registration.waiting && navigator.serviceWorker.controller);
    };
    registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', offer));
    offer();
    let asked = false;
    document.getElementById('reload').addEventListener('click', () => {
        asked = true;
        registration.waiting?.postMessage('take over');
    });
    navigator.serviceWorker.addEventListener('controllerchange', () => {
        if (asked) {
            location.reload();
        }
    });
}

async function start() {
    const lacks = missing();
    if (lacks.length > 0) {
        fail(`This browser does not support ${lacks.join('; ')}.\n${BROWSERS}`);
        return;
    }
    try {
        const [{ default: init }, module] = await Promise.all([import('./signet.js'), compile()]);
        status.textContent = 'Starting…';
        // Functions that the module calls.
        globalThis.signet = { fail, startWorker: () => startWorker(module) };
        // The module hides the shell after its first frame.
        await init({ module_or_path: module });
    } catch (error) {
        fail(`Cannot start the page: ${error.message ?? error}\nReload it. If that does not help, the server may mix two versions.`);
        throw error;
    }
}

// A module that has trapped does nothing any more; show the error.
addEventListener('error', (event) => {
    if (event.error instanceof WebAssembly.RuntimeError) {
        fail(`The page has stopped: ${event.message}\nReload it. Saved conversations and runs are intact.`);
    }
});

start();
addEventListener('load', () => keep().catch((error) => console.warn(`The page is not kept for use without a network: ${error.message}`)));

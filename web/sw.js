// Service worker: caches the page for offline use. It serves files of its own folder only, from the cache. A new
// version is downloaded as a whole and waits until the page requests it or no tab shows the old one.

const VERSION = 'unbuilt';
const OWN = `signet ${registration.scope} `;
const CACHE = OWN + VERSION;

/** Returns the URL of a file of the page. */
const at = (name) => new URL(name, registration.scope).href;

async function install() {
    const cache = await caches.open(CACHE);
    const list = await (await fetch(at('files.json'), { cache: 'no-cache' })).json();
    if (list.version !== VERSION) {
        // The server has parts of a newer version; the browser retries the installation.
        throw new Error(`the files are of version ${list.version}, and this is ${VERSION}`);
    }
    await cache.put(at('files.json'), new Response(JSON.stringify(list), { headers: { 'content-type': 'application/json' } }));
    const wanted = list.files.filter((file) => file.at_once);
    // `integrity` rejects a file of another version.
    await Promise.all(wanted.map(({ name, integrity }) => cache.add(new Request(at(name), { integrity, cache: 'no-cache' }))));
}

async function activate() {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name.startsWith(OWN) && name !== CACHE).map((name) => caches.delete(name)));
    await clients.claim();
}

/** Returns the name of a requested file in the list; undefined for other requests. */
function named(request) {
    const url = new URL(request.url);
    const address = url.origin + url.pathname;
    if (request.method !== 'GET' || request.headers.has('range') || !address.startsWith(registration.scope)) {
        return undefined;
    }
    return address.slice(registration.scope.length) || 'index.html';
}

async function answer(request, name) {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(at(name));
    if (kept) {
        return kept;
    }
    const list = await (await cache.match(at('files.json')))?.json();
    const listed = list?.files.find((file) => file.name === name);
    if (!listed) {
        return fetch(request);
    }
    // Large files are cached on first use.
    const fetched = await fetch(at(name), { integrity: listed.integrity });
    if (fetched.ok) {
        await cache.put(at(name), fetched.clone()).catch(() => {});
    }
    return fetched;
}

addEventListener('install', (event) => event.waitUntil(install()));
addEventListener('activate', (event) => event.waitUntil(activate()));
addEventListener('message', (event) => event.data === 'take over' && skipWaiting());
addEventListener('fetch', (event) => {
    const name = named(event.request);
    if (name !== undefined && name !== 'sw.js') {
        event.respondWith(answer(event.request, name));
    }
});

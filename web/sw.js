// Keeps the page for use without a network. It answers for its own folder only, from what it kept;
// a new version is fetched as a whole, and waits until the page asks for it or no tab shows the old.

const VERSION = 'unbuilt';
const OWN = `signet ${registration.scope} `;
const CACHE = OWN + VERSION;

/** The address of a file of the page. */
const at = (name) => new URL(name, registration.scope).href;

async function install() {
    const cache = await caches.open(CACHE);
    const list = await (await fetch(at('files.json'), { cache: 'no-cache' })).json();
    if (list.version !== VERSION) {
        // Half of a newer version is there; the browser tries again.
        throw new Error(`the files are of version ${list.version}, and this is ${VERSION}`);
    }
    await cache.put(at('files.json'), new Response(JSON.stringify(list), { headers: { 'content-type': 'application/json' } }));
    const wanted = list.files.filter((file) => file.at_once);
    // `integrity` refuses a file of another version.
    await Promise.all(wanted.map(({ name, integrity }) => cache.add(new Request(at(name), { integrity, cache: 'no-cache' }))));
}

async function activate() {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name.startsWith(OWN) && name !== CACHE).map((name) => caches.delete(name)));
    await clients.claim();
}

/** The name in the list of what a request asks for; undefined for what is none of ours. */
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
    // Too large to be kept from the start: kept once it was used.
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

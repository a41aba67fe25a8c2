// Keeps in this browser what the page is made of, for sw.js to answer with when there is no network.

const CACHE = "keras_pixdt.search_client";

/**
 * Gets a file whose URL changes with its content: from what is kept, or else from the server.
 *
 * @param {string} url
 * @param {(bytes: number) => void} onProgress told how many bytes have arrived, now and then
 * @returns {Promise<ArrayBuffer>}
 */
export async function download(url, onProgress) {
  const kept = "caches" in self && (await caches.match(url));
  const response = kept || (await fetch(url));
  if (!response.ok) throw new Error(`${url.split("?")[0]} could not be loaded: ${await reason(response)}`);
  const blocks = [];
  let bytes = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    blocks.push(value);
    bytes += value.length;
    onProgress(bytes);
  }
  return new Blob(blocks).arrayBuffer();
}

async function reason(response) {
  return (await response.text()).trim() || `status ${response.status}`;
}

/**
 * Keeps all that the page has loaded, and nothing else.
 *
 * @param {string[]} urls of downloads
 * @returns {Promise<boolean>} Whether the page works without a network from now on.
 */
export async function keep(urls) {
  if (!("serviceWorker" in navigator)) return false;
  try {
    await navigator.serviceWorker.register("sw.js");
    const cache = await caches.open(CACHE);
    const kept = (await cache.keys()).map(({ url }) => url);
    const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
    const own = loaded.filter((url) => url.startsWith(location.origin)); // no photos
    const wanted = new Set([location.href, ...own, ...urls].map(withoutHash));
    await Promise.all([...wanted].map((url) => keepNewest(cache, url)));
    await Promise.all(kept.filter((url) => !wanted.has(url)).map((url) => cache.delete(url)));
    await navigator.serviceWorker.ready;
    return true;
  } catch (error) {
    console.warn("The page is not kept, and needs the network again next time.", error);
    return false;
  }
}

function withoutHash(url) {
  return new URL(url, location.href).href.split("#")[0];
}

async function keepNewest(cache, url) {
  const old = await cache.match(url);
  if (old && new URL(url).searchParams.has("v")) return;
  // From the browser's own cache, if it is there: it has just been loaded.
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: status ${response.status}`);
  const etag = response.headers.get("ETag");
  if (!old || etag !== old.headers.get("ETag")) await cache.put(url, response);
}

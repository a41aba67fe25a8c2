// The page: from a photo to the nearest products.

import { drawAt } from "./flow.js";
import { PhotoError, readPhoto, resize } from "./image.js";
import { IndexError, ProductIndex } from "./index.js";
import { loadRuntime, Model, ModelError } from "./model.js";
import { download, keep } from "./offline.js";

const RESULTS = 10;
const SHOWN_PX = 512; // longer side of the product image, if the model draws at other sizes

const element = (id) => document.getElementById(id);
const [status, error, progress] = ["status", "error", "progress"].map(element);

let shown = []; // object URLs of the images in the page
let latest = 0; // number of the photo that was given last
let turn = Promise.resolve(); // photos are searched with one after the other

/** Loads model and index, and resolves to both. */
async function start() {
  const response = await fetch("settings.json");
  if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
  const settings = await response.json();
  const files = [settings.model, settings.index];
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const arrived = files.map(() => 0);
  status.textContent = `Loading the model and the products (${megabytes(total)})…`;
  const [modelBytes, indexBytes] = await Promise.all([
    ...files.map(({ url }, i) =>
      download(url, (bytes) => {
        arrived[i] = bytes;
        progress.value = (arrived[0] + arrived[1]) / total;
      }),
    ),
    loadRuntime(),
  ]);
  const index = new ProductIndex(indexBytes);
  const model = await Model.load(new Uint8Array(modelBytes));
  // The first run sets things up, and shows whether the two fit.
  const blank = new Uint8Array(model.imageSize[0] * model.imageSize[1] * 3).fill(255);
  index.search(await model.run("embed", await model.run("convert", blank)), 1);
  offerExample(settings.example);
  return { model, index, settings };
}

function offerExample(example) {
  if (!example) return;
  const button = element("example");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      search(new Blob([await download(example.url, () => {})]), example.name);
    } catch (reason) {
      show(reason);
    }
  });
}

/** Says that the page is ready, and keeps it for when there is no network. */
async function settle({ model, index, settings }) {
  progress.hidden = true;
  const facts = [
    `${counted(index.size)} in ${settings.index.name}`,
    `model ${settings.model.name}`,
    model.threads > 1 ? `${model.threads} threads` : "one thread",
  ];
  const say = (...more) => (element("about").textContent = [...facts, ...more].join(" · "));
  say();
  if (latest === 0) status.textContent = `Ready to search ${counted(index.size)}.`;
  const urls = [settings.model, settings.index, settings.example].flatMap((file) => file?.url ?? []);
  say((await keep(urls)) ? "works without a network" : "needs a network");
}

const ready = start();
ready.then(settle).catch((reason) => {
  progress.hidden = true;
  status.textContent = "";
  show(reason);
});

/** Searches with a photo, unless another was given in the meantime. */
function search(file, name) {
  const number = ++latest;
  turn = turn.then(async () => {
    if (number !== latest) return;
    error.textContent = "";
    try {
      const { model, index, settings } = await ready;
      await say(`Reading ${name}…`);
      const { image, pixels } = await readPhoto(file, name);
      await say("Drawing the product image…");
      const how = settings.model.resize;
      const input = resize(pixels, model.imageSize, how);
      const [product, convertMs] = await timed(() => model.run("convert", input));
      const [vector, embedMs] = await timed(() => model.run("embed", product));
      const [found, searchMs] = await timed(() => index.search(vector, RESULTS));
      shown.forEach((url) => URL.revokeObjectURL(url));
      shown = [image.src];
      draw(image.src, product, model.drawnSize);
      list(found, index);
      element("convert-ms").textContent = milliseconds(convertMs);
      element("embed-ms").textContent = milliseconds(embedMs);
      element("search-ms").textContent = milliseconds(searchMs);
      element("outcome").hidden = false;
      const [{ row, score }] = found;
      status.textContent =
        `The ${found.length} nearest of ${counted(index.size)}. ` +
        `First: ${index.id(row)}, score ${score.toFixed(3)}.`;
      if (model.scalable) await enlarge(image.src, model, pixels, how);
    } catch (reason) {
      status.textContent = "";
      show(reason);
    }
  });
}

/** Draws the product image larger. The search is done: a failure costs nothing but the size. */
async function enlarge(photo, model, pixels, how) {
  await new Promise((resolve) => setTimeout(resolve)); // lets the browser show what was found
  try {
    const { product, size } = await drawAt(model, pixels, SHOWN_PX, how);
    draw(photo, product, size);
  } catch (reason) {
    console.error(reason);
  }
}

/** Writes the status, and lets the browser show it before it is busy. */
function say(text) {
  status.textContent = text;
  return new Promise((resolve) => setTimeout(resolve));
}

function show(reason) {
  const known = [PhotoError, IndexError, ModelError].some((type) => reason instanceof type);
  if (!known) console.error(reason);
  error.textContent = known ? reason.message : `Something went wrong. ${reason.message}`;
}

async function timed(run) {
  const start = performance.now();
  const result = await run();
  return [result, performance.now() - start];
}

/** Shows the photo and the product image. */
function draw(photo, product, [height, width]) {
  element("photo").src = photo;
  const canvas = element("product");
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height);
  for (let from = 0, to = 0; from < product.length; from += 3, to += 4) {
    pixels.data.set([product[from], product[from + 1], product[from + 2], 255], to);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** Shows the products that were found. */
function list(found, index) {
  const items = found.map(({ row, score }) => {
    const image = new Image(96, 96);
    image.src = URL.createObjectURL(index.thumbnail(row));
    shown.push(image.src);
    image.alt = `Product ${index.id(row)}`;
    const [item, id, number] = ["li", "span", "span"].map((tag) => document.createElement(tag));
    id.className = "id";
    id.textContent = index.id(row);
    number.className = "score";
    number.textContent = `Score ${score.toFixed(3)}`;
    item.append(image, id, number);
    return item;
  });
  element("results").replaceChildren(...items);
}

function counted(products) {
  return `${products.toLocaleString("en")} ${products === 1 ? "product" : "products"}`;
}

function milliseconds(time) {
  return `${time.toFixed(1)} ms`;
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

// Ways to give a photo

for (const input of [element("choose"), element("camera")]) {
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // the same photo may be chosen again
  });
}
document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault(); // else the browser would open what is dropped
  element("drop").classList.add("over");
});
document.addEventListener("dragleave", () => element("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  element("drop").classList.remove("over");
  take(event.dataTransfer.files);
});

function take([file]) {
  if (file) search(file, file.name || "The photo");
}

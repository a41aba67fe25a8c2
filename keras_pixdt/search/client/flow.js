// Product images of any size, from the photo's own pixels: as draw_at gives them in Python.

import { reduce, resize, roundHalfEven } from "./image.js";

const MOST_PHOTO_PX = 2048; // as in keras_pixdt/choices.py

/**
 * Draws a product image.
 *
 * @param {Model} model one with the signature `flow`
 * @param {ImageData} pixels the photo, of any size
 * @param {number} longer longer side of the product image, which has the proportions of what the
 *   model draws
 * @param {string} how the photo is brought to the size that the pixels are taken from, see resize()
 * @returns {Promise<{product: Uint8ClampedArray, size: number[]}>} height × width × 3 bytes, RGB,
 *   and height and width
 */
export async function drawAt(model, pixels, longer, how) {
  const size = scaled(model.drawnSize, longer);
  const photoSize = photoSide(model.imageSize, size, pixels);
  const photo = resize(pixels, photoSize, how);
  const maps = await model.outputs("flow", reduce(photo, photoSize, model.imageSize));
  return { product: compose(photo, photoSize, maps, model.drawnSize, size), size };
}

/** Height and width of the photo that the pixels are taken from, as photo_side in Python. */
function photoSide(read, size, { width, height }) {
  const least = Math.max(...read);
  const whole = Math.max(
    Math.ceil((least * height) / read[0]),
    Math.ceil((least * width) / read[1]),
  );
  return scaled(read, Math.max(least, Math.min(whole, 4 * Math.max(...size), MOST_PHOTO_PX)));
}

/** Height and width of the same proportions with another longer side, as scaled_size in Python. */
function scaled(size, longer) {
  const most = Math.max(...size);
  return size.map((side) => Math.max(1, roundHalfEven((side * longer) / most)));
}

/**
 * Enlarges the maps, and moves the pixels of the photo where the flow points. Sizes are height and
 * width.
 *
 * @param {Uint8Array} photo of photoSize, with 3 bytes a pixel
 * @param {Object<string, Float32Array>} maps of mapSize, with as many numbers a pixel as channels.
 *   Mask and gate are logits: the sigmoid comes after enlarging. The mask's are multiplied by how
 *   many times it is enlarged, so its outline stays as many pixels wide.
 * @returns {Uint8ClampedArray} of size, with 3 bytes a pixel
 */
function compose(photo, photoSize, { flow, mask, gate, paint }, mapSize, [height, width]) {
  const drawn = new Uint8ClampedArray(height * width * 3); // rounds, as Python does
  const places = (count, side) =>
    Array.from({ length: count }, (_, i) => between((i + 0.5) * (side / count) - 0.5, side));
  const [rows, columns] = [places(height, mapSize[0]), places(width, mapSize[1])];
  const [photoHeight, photoWidth] = photoSize;
  const mapColumns = mapSize[1];
  const sharper = Math.max(1, height / mapSize[0]);
  const toPhoto = (place, side) => between((place + 1) * (side / 2) - 0.5, side);
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++, to += 3) {
      const [x, y] = [columns[column], rows[row]];
      const across = toPhoto(mixed(flow, mapColumns, 2, 0, x, y), photoWidth);
      const down = toPhoto(mixed(flow, mapColumns, 2, 1, x, y), photoHeight);
      const garment = sigmoid(sharper * mixed(mask, mapColumns, 1, 0, x, y));
      const moved = sigmoid(mixed(gate, mapColumns, 1, 0, x, y));
      for (let channel = 0; channel < 3; channel++) {
        const painted = (Math.tanh(mixed(paint, mapColumns, 3, channel, x, y)) + 1) * 127.5;
        const pixel = mixed(photo, photoWidth, 3, channel, across, down);
        const level = moved * pixel + (1 - moved) * painted;
        drawn[to + channel] = garment * level + (1 - garment) * 255;
      }
    }
  }
  return drawn;
}

/** The two pixels of a row or a column that a place is between, and the share of the second. */
function between(place, side) {
  const inside = Math.max(0, Math.min(side - 1, place));
  const first = Math.floor(inside);
  return { first, second: Math.min(first + 1, side - 1), share: inside - first };
}

/** A channel of an image with rows of `width` pixels, mixed of the four around a point. */
function mixed(values, width, channels, channel, x, y) {
  const at = (row, column) => values[(row * width + column) * channels + channel];
  const upper = at(y.first, x.first) * (1 - x.share) + at(y.first, x.second) * x.share;
  const lower = at(y.second, x.first) * (1 - x.share) + at(y.second, x.second) * x.share;
  return upper * (1 - y.share) + lower * y.share;
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

// Product images of any size, from the photo's own pixels: as draw_at gives them in Python.

import { reduce, resize } from "./image.js";

const MOST_PHOTO_PX = 2048; // as in keras_pixdt/choices.py

/**
 * Draws a product image.
 *
 * @param {Model} model one with the signature `flow`
 * @param {ImageData} pixels the photo, of any size
 * @param {number} size side of the product image
 * @param {string} how the photo is made square, see resize()
 * @returns {Promise<Uint8ClampedArray>} size × size × 3 bytes, RGB
 */
export async function drawAt(model, pixels, size, how) {
  const side = Math.max(model.imageSize, Math.min(4 * size, MOST_PHOTO_PX));
  const photo = resize(pixels, side, how);
  const maps = await model.outputs("flow", reduce(photo, side, model.imageSize));
  return compose(photo, side, maps, model.drawnSize, size);
}

/**
 * Enlarges the maps, and moves the pixels of the photo where the flow points.
 *
 * @param {Uint8Array} photo side × side × 3 bytes
 * @param {Object<string, Float32Array>} maps mapSize × mapSize × channels numbers each. Mask and gate
 *   are logits: the sigmoid comes after enlarging, so edges stay sharp.
 * @returns {Uint8ClampedArray} size × size × 3 bytes
 */
function compose(photo, side, { flow, mask, gate, paint }, mapSize, size) {
  const drawn = new Uint8ClampedArray(size * size * 3); // rounds, as Python does
  const places = Array.from({ length: size }, (_, i) =>
    between((i + 0.5) * (mapSize / size) - 0.5, mapSize),
  );
  for (let row = 0, to = 0; row < size; row++) {
    for (let column = 0; column < size; column++, to += 3) {
      const [x, y] = [places[column], places[row]];
      const across = between((mixed(flow, mapSize, 2, 0, x, y) + 1) * (side / 2) - 0.5, side);
      const down = between((mixed(flow, mapSize, 2, 1, x, y) + 1) * (side / 2) - 0.5, side);
      const garment = sigmoid(mixed(mask, mapSize, 1, 0, x, y));
      const moved = sigmoid(mixed(gate, mapSize, 1, 0, x, y));
      for (let channel = 0; channel < 3; channel++) {
        const painted = (Math.tanh(mixed(paint, mapSize, 3, channel, x, y)) + 1) * 127.5;
        const pixel = mixed(photo, side, 3, channel, across, down);
        const level = moved * pixel + (1 - moved) * painted;
        drawn[to + channel] = garment * level + (1 - garment) * 255;
      }
    }
  }
  return drawn;
}

/** The two pixels of a row that a place is between, and the share of the second. */
function between(place, side) {
  const inside = Math.max(0, Math.min(side - 1, place));
  const first = Math.floor(inside);
  return { first, second: Math.min(first + 1, side - 1), share: inside - first };
}

/** A channel of side × side pixels, mixed of the four around a point. */
function mixed(values, side, channels, channel, x, y) {
  const at = (row, column) => values[(row * side + column) * channels + channel];
  const upper = at(y.first, x.first) * (1 - x.share) + at(y.first, x.second) * x.share;
  const lower = at(y.second, x.first) * (1 - x.share) + at(y.second, x.second) * x.share;
  return upper * (1 - y.share) + lower * y.share;
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

// From a photo to what the model takes: the same bytes as read_image and resize give in Python, of
// JPEG, PNG, WebP and AVIF of up to MAX_SIDE_PX. What the browser converts itself is a level or a few
// apart: PNG with a gAMA chunk and no profile, profiles with tables, and CMYK. Of CMYK, Chromium ignores
// the profile, and colours may be tens of levels apart. All other formats are turned and converted by the browser alone.

import { conversionBy } from "./colors.js";
import { readMetadata } from "./metadata.js";

const MAX_PIXELS = 89_478_485; // as Pillow: decoded it takes a third of a gigabyte
// Some phones have no canvas of more than 16 million pixels. Larger photos the browser shrinks to
// this first.
const MAX_SIDE_PX = 3072;
const BITS = 22; // of the fractions in resized()

const NO_PROFILE = { byBrowser: false, convert: null };

/** A photo that cannot be used; the message says why. */
export class PhotoError extends Error {}

/**
 * Decodes a photo: turned as its EXIF data says, on white, in sRGB, the first frame of an animation.
 *
 * @param {Blob} file
 * @param {string} name what messages call it
 * @returns {Promise<{image: HTMLImageElement, pixels: ImageData}>} The image shows the file from an
 *   object URL, which is the caller's to revoke.
 */
export async function readPhoto(file, name) {
  if (file.size === 0) throw new PhotoError(`${name} is empty.`);
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await loaded(image, name);
    const pixelCount = image.naturalWidth * image.naturalHeight;
    if (pixelCount > MAX_PIXELS) {
      throw new PhotoError(
        `${name} is too large: ${image.naturalWidth} × ${image.naturalHeight} pixels. ` +
          `Photos of up to ${Math.floor(MAX_PIXELS / 1e6)} million pixels can be searched with.`,
      );
    }
    const { profile, orientation, without } = await readMetadata(
      new Uint8Array(await file.arrayBuffer()),
    );
    const { byBrowser, convert } = profile ? conversionBy(profile) : NO_PROFILE;
    const bitmap = await decoded(without(!byBrowser), name);
    const pixels = toPixels(bitmap);
    bitmap.close();
    convert?.(pixels.data);
    return { image, pixels: turned(pixels, orientation) };
  } catch (error) {
    URL.revokeObjectURL(image.src);
    throw error;
  }
}

function loaded(image, name) {
  // At this event the size is known, and nothing is decoded yet.
  return new Promise((resolve, reject) => {
    image.onload = resolve;
    image.onerror = () =>
      reject(
        new PhotoError(
          `${name} is not a photo that this browser can read. Try a JPEG, PNG or WebP file.`,
        ),
      );
  });
}

async function decoded(file, name) {
  try {
    // Unlike an <img>, this refuses what is cut off. Premultiplied, WebP would be rounded twice.
    return await createImageBitmap(file, { premultiplyAlpha: "none" });
  } catch {
    throw new PhotoError(`${name} cannot be decoded: it is damaged or incomplete.`);
  }
}

function toPixels(bitmap) {
  const scale = Math.min(1, MAX_SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Undoes an EXIF orientation. */
function turned(pixels, orientation) {
  if (!(orientation > 1 && orientation < 9)) return pixels;
  const { width, height } = pixels;
  const [newWidth, newHeight] = orientation > 4 ? [height, width] : [width, height];
  const result = new ImageData(newWidth, newHeight);
  const [from, to] = [pixels, result].map(({ data }) => new Uint32Array(data.buffer));
  for (let y = 0, i = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      let [column, row] = orientation > 4 ? [y, x] : [x, y];
      if ([2, 3, 7, 8].includes(orientation)) column = width - 1 - column;
      if ([3, 4, 6, 7].includes(orientation)) row = height - 1 - row;
      to[i++] = from[row * width + column];
    }
  }
  return result;
}

/**
 * Brings an image to the size that the model was trained with: "letterbox" fits it into a white
 * picture of this size, aspect kept, centred; "stretch" makes both sides fit.
 *
 * @param {ImageData} pixels
 * @param {number[]} size height and width
 * @returns {Uint8Array} height × width × 3 bytes, RGB
 */
export function resize({ data, width, height }, [fullHeight, fullWidth], how) {
  const scale = Math.min(fullHeight / height, fullWidth / width);
  const side = (length, full) =>
    how === "stretch" ? full : Math.max(1, roundHalfEven(length * scale));
  const [newHeight, newWidth] = [side(height, fullHeight), side(width, fullWidth)];
  const narrow = resized(data, 4, width, height, newWidth, BICUBIC);
  // What was rows is columns now, so that the same again resizes the other side.
  const small = resized(narrow, 3, height, newWidth, newHeight, BICUBIC);
  const fitted = new Uint8Array(fullHeight * fullWidth * 3).fill(255);
  const left = (fullWidth - newWidth) >> 1;
  const top = (fullHeight - newHeight) >> 1;
  for (let y = 0; y < newHeight; y++) {
    const row = small.subarray(y * newWidth * 3, (y + 1) * newWidth * 3);
    fitted.set(row, ((top + y) * fullWidth + left) * 3);
  }
  return fitted;
}

/**
 * Reduces an image bilinearly. Sizes are height and width.
 *
 * @param {Uint8Array} image of this size, with 3 bytes a pixel, RGB
 * @returns {Uint8Array} of newSize, with 3 bytes a pixel
 */
export function reduce(image, [height, width], [newHeight, newWidth]) {
  if (height === newHeight && width === newWidth) return image;
  const narrow = resized(image, 3, width, height, newWidth, BILINEAR);
  return resized(narrow, 3, height, newWidth, newHeight, BILINEAR);
}

/**
 * Resizes the rows of an image, and transposes it. As Pillow, to the bit: all pixels count when it
 * shrinks, weights are whole numbers of 2^-22, and each pass rounds to bytes. (Of images that are
 * more than 100 times as high as wide Pillow 12 resizes the columns first.)
 *
 * @param {Uint8Array} data height × width pixels
 * @param {number} channels of a pixel, of which the first three are taken
 * @returns {Uint8Array} newWidth × height × 3
 */
function resized(data, channels, width, height, newWidth, filter) {
  const result = new Uint8Array(newWidth * height * 3);
  for (let x = 0; x < newWidth; x++) {
    const { start, weights } = mixture(width, newWidth, x, filter);
    for (let y = 0; y < height; y++) {
      let [red, green, blue] = [1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)];
      let from = (y * width + start) * channels;
      for (let i = 0; i < weights.length; i++, from += channels) {
        red += data[from] * weights[i];
        green += data[from + 1] * weights[i];
        blue += data[from + 2] * weights[i];
      }
      const to = (x * height + y) * 3;
      result[to] = toByte(red);
      result[to + 1] = toByte(green);
      result[to + 2] = toByte(blue);
    }
  }
  return result;
}

/** The pixels that a new pixel is made of, and the weight of each. */
function mixture(size, newSize, place, { reach, kernel }) {
  const scale = size / newSize;
  const stretch = Math.max(1, scale);
  const center = (place + 0.5) * scale;
  const start = Math.max(0, Math.trunc(center - reach * stretch + 0.5));
  const stop = Math.min(size, Math.trunc(center + reach * stretch + 0.5));
  const weights = [];
  let sum = 0;
  for (let i = start; i < stop; i++) {
    const weight = kernel((i - center + 0.5) * (1 / stretch));
    weights.push(weight);
    sum += weight;
  }
  const whole = (weight) => Math.trunc(weight * (1 << BITS) + (weight < 0 ? -0.5 : 0.5));
  return { start, weights: Int32Array.from(weights, (weight) => whole(weight / sum)) };
}

/** Keys 1981, with a = -0.5. */
const BICUBIC = {
  reach: 2,
  kernel(x) {
    x = Math.abs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
    return 0;
  },
};
const BILINEAR = { reach: 1, kernel: (x) => Math.max(0, 1 - Math.abs(x)) };

function toByte(fraction) {
  return Math.max(0, Math.min(255, fraction >> BITS));
}

/** As Python's round(). */
export function roundHalfEven(x) {
  const floor = Math.floor(x);
  return x - floor === 0.5 && floor % 2 === 0 ? floor : Math.round(x);
}

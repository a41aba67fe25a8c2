// Colours as files store them, converted to sRGB: the same whole numbers as in
// keras_pixdt/data/colors.py. Browsers round otherwise, approximate curves, and ignore profiles of
// gray images.

const ONE = 1 << 14; // linear light of 1.0
// The inverse of sRGB's primaries as profiles have them, adapted to D50 (IEC 61966-2-1).
const FROM_XYZ = [
  [3.1341121514, -1.6173924597, -0.4906334036],
  [-0.9787872939, 1.9162795855, 0.033454714],
  [0.0719830425, -0.2289858493, 1.4053851325],
];

/**
 * How to convert by an ICC profile.
 *
 * @param {Uint8Array} profile
 * @returns {{byBrowser: boolean, convert: ?function(Uint8ClampedArray): void}} `convert` changes
 *   RGBA bytes in place. It is null if nothing changes: the profile is sRGB's, to one level, or
 *   damaged. Profiles with tables, of printers and scanners, are left to the browser.
 */
export function conversionBy(profile) {
  try {
    const tags = tagsOf(profile);
    const [kind, connection] = [text(profile, 16), text(profile, 20)];
    const tables = ["A2B0", "A2B1", "D2B0"].some((name) => name in tags);
    if (connection !== "XYZ " || tables || !["RGB ", "GRAY"].includes(kind)) {
      return { byBrowser: true, convert: null };
    }
    if (kind === "GRAY") return { byBrowser: false, convert: grayConversion(tags) };
    return { byBrowser: false, convert: matrixConversion(tags) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { byBrowser: false, convert: null };
  }
}

function text(bytes, start) {
  return String.fromCharCode(...bytes.subarray(start, start + 4));
}

/** The parts of a profile. Reads beyond the end of one throw a RangeError. */
function tagsOf(profile) {
  const view = new DataView(profile.buffer, profile.byteOffset, profile.byteLength);
  if (text(profile, 36) !== "acsp") throw new RangeError();
  const tags = {};
  const stop = 132 + 12 * view.getUint32(128);
  for (let place = 132; place < stop; place += 12) {
    const [start, size] = [view.getUint32(place + 4), view.getUint32(place + 8)];
    tags[text(profile, place)] = new DataView(profile.buffer, profile.byteOffset + start, size);
    if (start + size > profile.byteLength) throw new RangeError();
  }
  return tags;
}

/** Numbers of a tag, which are whole 2^-16ths. */
function fixed(tag, start, count) {
  if (!tag) throw new RangeError();
  return Array.from({ length: count }, (_, i) => tag.getInt32(start + 4 * i) / 65536);
}

/** The linear light of each of the 256 levels, in whole 1 / ONE. */
function curve(tag) {
  if (!tag) throw new RangeError();
  const at = light(tag);
  return Int32Array.from({ length: 256 }, (_, level) => whole(clip(at(level))));
}

function light(tag) {
  const kind = tag.getUint32(0);
  if (kind === 0x70617261) return parametric(tag); // "para"
  const count = tag.getUint32(8);
  if (kind !== 0x63757276 || 12 + 2 * count > tag.byteLength) throw new RangeError(); // "curv"
  if (count === 0) return (level) => level / 255;
  if (count === 1) {
    const gamma = tag.getUint16(12) / 256;
    return (level) => (level / 255) ** gamma;
  }
  return (level) => {
    const place = (level * (count - 1)) / 255;
    const cell = Math.min(Math.floor(place), count - 2);
    const [low, high] = [0, 2].map((next) => tag.getUint16(12 + 2 * cell + next) / 65535);
    return low + (high - low) * (place - cell);
  };
}

/** (a x + b)^g + e from d on, c x + f before. */
function parametric(tag) {
  const kind = tag.getUint16(8);
  if (kind > 4) throw new RangeError();
  let [g, a, b, c, d, e = 0, f = 0] = fixed(tag, 12, [1, 3, 4, 5, 7][kind]);
  if (kind === 0) [a, b, c, d] = [1, 0, 0, -1];
  if (kind === 1 || kind === 2) {
    if (a === 0) throw new RangeError();
    [c, d, e, f] = [0, -b / a, c ?? 0, c ?? 0];
  }
  return (level) => {
    const x = level / 255;
    return x >= d ? Math.max(a * x + b, 0) ** g + e : c * x + f;
  };
}

function clip(x) {
  return Math.max(0, Math.min(1, x));
}

function whole(number) {
  return Math.floor((Number.isNaN(number) ? 0 : number) * ONE + 0.5);
}

/** The sRGB level of each of the ONE + 1 steps of linear light. */
const LEVELS = Uint8Array.from({ length: ONE + 1 }, (_, step) => {
  const linear = step / ONE;
  const curved = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
  return Math.floor(255 * curved + 0.5);
});

function grayConversion(tags) {
  const levels = Array.from(curve(tags.kTRC), (step) => LEVELS[step]);
  if (levels.every((level, i) => Math.abs(level - i) <= 1)) return null;
  return (data) => {
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return; // not a gray image
    }
    for (let i = 0; i < data.length; i += 4) {
      data[i] = data[i + 1] = data[i + 2] = levels[data[i]];
    }
  };
}

/** Levels to linear light, to sRGB's primaries, and back to levels. */
function matrixConversion(tags) {
  const [reds, greens, blues] = ["rTRC", "gTRC", "bTRC"].map((name) => curve(tags[name]));
  const primaries = ["rXYZ", "gXYZ", "bXYZ"].map((name) => fixed(tags[name], 8, 3));
  const rows = FROM_XYZ.map((row) =>
    primaries.map((column) => row[0] * column[0] + row[1] * column[1] + row[2] * column[2]),
  );
  const sums = rows.map((row) => row.reduce((sum, number) => sum + Math.abs(number), 0));
  if (!sums.every((sum) => sum < 7)) throw new RangeError();
  const matrix = rows.flat().map(whole);

  const convert = (data) => {
    for (let i = 0; i < data.length; i += 4) {
      const [red, green, blue] = [reds[data[i]], greens[data[i + 1]], blues[data[i + 2]]];
      for (let j = 0; j < 3; j++) {
        const total =
          matrix[3 * j] * red + matrix[3 * j + 1] * green + matrix[3 * j + 2] * blue + ONE / 2;
        data[i + j] = LEVELS[Math.max(0, Math.min(ONE, total >> 14))];
      }
    }
  };

  // Changes of up to 1 on a grid of colours are none.
  const grid = new Uint8ClampedArray(4 * 18 ** 3);
  for (let i = 0; i < 18 ** 3; i++) {
    grid.set([i % 18, Math.floor(i / 18) % 18, Math.floor(i / 324)].map((x) => 15 * x), 4 * i);
  }
  const converted = grid.slice();
  convert(converted);
  return converted.every((level, i) => Math.abs(level - grid[i]) <= 1) ? null : convert;
}

// A product index, as keras_pixdt/search/index_file.py writes it: a safetensors file.

const FORMAT = "keras_pixdt.index";
const VERSION = "1";
const TYPES = { I64: BigInt64Array, F32: Float32Array, U8: Uint8Array };
const UNIT = 1e-3; // how far from 1 the length of a unit vector may be

/** A product index that cannot be used; the message says why. */
export class IndexError extends Error {}

/** The products of a catalogue: vectors, ids and thumbnails. */
export class ProductIndex {
  #idOffsets;
  #thumbnailOffsets;
  #vectors;
  #ids;
  #thumbnails;

  /** Reads an ArrayBuffer that holds the file. It is not copied. */
  constructor(buffer) {
    const { header, start } = readHeader(buffer);
    const metadata = header.__metadata__ ?? {};
    if (metadata.format !== FORMAT) {
      throw new IndexError(`The file is no product index: its format is ${metadata.format}.`);
    }
    if (metadata.version !== VERSION) {
      throw new IndexError(
        `The product index must be of version ${VERSION}, and is of version ${metadata.version}.`,
      );
    }
    const tensor = (name, type, ...shape) => readTensor(buffer, start, header, name, type, shape);
    this.size = header.vectors?.shape?.[0];
    this.dimensions = Number(metadata.dimensions);
    this.#vectors = tensor("vectors", "F32", this.size, this.dimensions);
    this.#idOffsets = tensor("id_offsets", "I64", this.size + 1);
    this.#thumbnailOffsets = tensor("thumbnail_offsets", "I64", this.size + 1);
    this.#ids = tensor("ids", "U8", Number(this.#idOffsets.at(-1)));
    this.#thumbnails = tensor("thumbnails", "U8", Number(this.#thumbnailOffsets.at(-1)));
  }

  /** The id of the product of a row. */
  id(row) {
    return new TextDecoder().decode(slice(this.#ids, this.#idOffsets, row));
  }

  /** The thumbnail of the product of a row, a JPEG file. */
  thumbnail(row) {
    const bytes = slice(this.#thumbnails, this.#thumbnailOffsets, row);
    return new Blob([bytes], { type: "image/jpeg" });
  }

  /**
   * The k products nearest to a unit vector, as [{row, score}], the nearest first.
   *
   * Exact, and as in Python: the scores are sums in float64, rounded to float32, and of equal
   * scores the earlier row comes first.
   */
  search(query, k = 10) {
    const length = Math.hypot(...query);
    if (query.length !== this.dimensions || !(Math.abs(length - 1) <= UNIT)) {
      throw new IndexError(
        `A query must be ${this.dimensions} numbers of length 1, and is ${query.length} of ` +
          `length ${length}. The model and the product index do not fit.`,
      );
    }
    const found = [];
    let total = 0;
    for (let row = 0; row < this.size; row++) {
      const score = this.#score(query, row);
      total += score;
      if (found.length === k) {
        if (!(score > found[k - 1].score)) continue;
        found.pop();
      }
      let place = found.length;
      while (place > 0 && found[place - 1].score < score) place--;
      found.splice(place, 0, { row, score });
    }
    if (!Number.isFinite(total)) throw new IndexError("The product index has damaged vectors.");
    return found;
  }

  #score(query, row) {
    const vectors = this.#vectors;
    const count = this.dimensions;
    const start = row * count;
    // Four sums, which a processor adds at the same time.
    let [a, b, c, d] = [0, 0, 0, 0];
    let i = 0;
    for (; i + 3 < count; i += 4) {
      a += vectors[start + i] * query[i];
      b += vectors[start + i + 1] * query[i + 1];
      c += vectors[start + i + 2] * query[i + 2];
      d += vectors[start + i + 3] * query[i + 3];
    }
    for (; i < count; i++) a += vectors[start + i] * query[i];
    return Math.fround(a + b + (c + d));
  }
}

function readHeader(buffer) {
  const length = buffer.byteLength < 8 ? NaN : Number(new DataView(buffer).getBigUint64(0, true));
  if (!(length <= buffer.byteLength - 8)) {
    throw new IndexError("The file is no product index, or it is truncated.");
  }
  try {
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    return { header: header ?? {}, start: 8 + length };
  } catch {
    throw new IndexError("The file is no product index: its header is not JSON.");
  }
}

function readTensor(buffer, start, header, name, type, shape) {
  const { dtype, shape: found, data_offsets: place } = header[name] ?? {};
  const count = shape.reduce((product, side) => product * side, 1);
  const bytes = count * TYPES[type].BYTES_PER_ELEMENT;
  const fits =
    dtype === type &&
    String(found) === String(shape) &&
    Number.isSafeInteger(bytes) &&
    place?.[1] - place?.[0] === bytes &&
    start + place[1] <= buffer.byteLength;
  if (!fits) {
    throw new IndexError(`The product index is truncated, or damaged: "${name}" does not fit.`);
  }
  return new TYPES[type](buffer, start + place[0], count);
}

function slice(bytes, offsets, row) {
  return bytes.subarray(Number(offsets[row]), Number(offsets[row + 1]));
}

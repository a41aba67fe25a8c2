// Runs a TFLite file in the browser, by LiteRT.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "./litert/core.js";

const WASM = new URL("litert/wasm/", import.meta.url).href;
// More help little, and a phone's other cores are slow ones.
const MAX_THREADS = 4;

/** A model that cannot be used; the message says why. */
export class ModelError extends Error {}

let runtime; // the promise of one that is loaded, with its number of threads

/** Loads LiteRT, once: with threads where the browser has them for this page. */
export function loadRuntime() {
  runtime ??= (async () => {
    const threads =
      self.crossOriginIsolated &&
      (await supportsFeature("relaxedSimd")) &&
      (await supportsFeature("threads"));
    await loadLiteRt(WASM, { threads });
    return threads ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
  })();
  return runtime;
}

/** A TFLite file as functions from bytes to numbers. */
export class Model {
  #compiled;

  constructor(compiled, threads) {
    this.#compiled = compiled;
    this.threads = threads;
    const { convert, flow } = compiled.signatures;
    /** Height and width of the photos that it takes, in pixels. */
    this.imageSize = Array.from(convert.getInputDetails()[0].shape.slice(1, 3));
    /** Height and width of the product images that it draws. */
    this.drawnSize = Array.from(convert.getOutputDetails()[0].shape.slice(1, 3));
    /** Whether it draws at other sizes too, see flow.js. */
    this.scalable = flow !== undefined;
  }

  /** Reads the bytes of a file. */
  static async load(bytes) {
    const threads = await loadRuntime();
    let compiled;
    try {
      compiled = await loadAndCompile(bytes, {
        accelerator: "wasm",
        cpuOptions: { numThreads: threads },
      });
    } catch (error) {
      throw new ModelError(`The model cannot be loaded: ${error.message ?? error}`);
    }
    if (!compiled.signatures.convert) {
      compiled.delete();
      throw new ModelError("The model does not have the signature convert.");
    }
    return new Model(compiled, threads);
  }

  /**
   * Runs a signature of one input and one output: `convert`, from a photo to the product image, or
   * `embed`, from that to a unit vector. Images are height × width × 3 bytes, RGB.
   */
  async run(name, values) {
    const [result] = Object.values(await this.outputs(name, values));
    return result;
  }

  /** Runs a signature of one input, and resolves to what it gives by name. */
  async outputs(name, values) {
    const signature = this.#compiled.signatures[name];
    const input = new Tensor(values, signature.getInputDetails()[0].shape);
    try {
      const results = Object.entries(await signature.run({ image: input }));
      const found = results.map(([name, output]) => [name, output.toTypedArray()]); // copies
      results.forEach(([, output]) => output.delete());
      return Object.fromEntries(found);
    } finally {
      input.delete();
    }
  }
}

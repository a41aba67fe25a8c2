// What the file of a photo holds beside its pixels: the colour profile, and how the camera was held.
// Browsers apply them in different ways, or not at all (Chromium turns no WebP). So both are taken
// out of the file, and applied to the pixels as read_image does in Python.

/**
 * Reads profile and orientation of a JPEG, PNG, WebP or AVIF file. Other files are the browser's.
 *
 * @param {Uint8Array} bytes the file
 * @returns {Promise<{profile: ?Uint8Array, orientation: number, without: function(boolean): Blob}>}
 *   `without(true)` is the file without both, `without(false)` without the orientation.
 */
export async function readMetadata(bytes) {
  const { format, found } = segmentsOf(bytes);
  const contents = (kind) => found.filter((one) => one.kind === kind).map(({ content }) => content);
  const [exif] = contents("exif");
  const profiles = contents("profile");
  return {
    profile: profiles.length ? await PROFILES[format](profiles) : null,
    orientation: exif ? orientationOf(exif) : 1,
    without(profile) {
      const cuts = found.filter(({ kind }) => profile || kind === "exif");
      if (format === "webp" || format === "avif") {
        // Files of boxes, with sizes and places of one another: a box of an unknown name is none.
        const copy = bytes.slice();
        for (const { start } of cuts) copy.set([0x6e, 0x6f, 0x6e, 0x65], start); // "none"
        return new Blob([copy]);
      }
      const edges = [0, ...cuts.flatMap(({ start, stop }) => [start, stop]), bytes.length];
      const kept = edges.filter((_, i) => i % 2 === 0);
      return new Blob(kept.map((start, i) => bytes.subarray(start, edges[2 * i + 1])));
    },
  };
}

/** The format, and where profile and EXIF are. */
function segmentsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (start) => String.fromCharCode(...bytes.subarray(start, start + 4));
  const found = [];
  const add = (kind, start, stop, from) =>
    found.push({ kind, start, stop, content: bytes.subarray(from, stop) });
  let format = "other";
  if (name(0).startsWith("\xff\xd8")) format = "jpeg";
  else if (name(0) === "\x89PNG") format = "png";
  else if (name(0) === "RIFF" && name(8) === "WEBP") format = "webp";
  else if (name(4) === "ftyp" && name(8).startsWith("avi")) format = "avif";
  try {
    SEGMENTS[format]?.(view, name, add);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends: createImageBitmap says so
  }
  return { format, found };
}

const SEGMENTS = {
  jpeg(view, name, add) {
    // Up to the pixels: a marker, and the length of what follows it.
    for (let place = 2; view.getUint8(place) === 0xff && view.getUint8(place + 1) !== 0xda; ) {
      const stop = place + 2 + view.getUint16(place + 2);
      const marker = view.getUint8(place + 1);
      if (marker === 0xe1 && name(place + 4) === "Exif") add("exif", place, stop, place + 10);
      // "ICC_PROFILE\0", the number of the part, and how many there are
      if (marker === 0xe2 && name(place + 4) === "ICC_") add("profile", place, stop, place + 16);
      place = stop;
    }
  },
  png(view, name, add) {
    for (let place = 8; name(place + 4) !== "IEND"; ) {
      const stop = place + 12 + view.getUint32(place);
      const kind = { eXIf: "exif", iCCP: "profile" }[name(place + 4)];
      if (kind) add(kind, place, stop, place + 8);
      place = stop;
    }
  },
  webp(view, name, add) {
    for (let place = 12; place + 8 <= view.byteLength; ) {
      const size = view.getUint32(place + 4, true);
      const kind = { EXIF: "exif", ICCP: "profile" }[name(place)];
      if (kind) add(kind, place, place + 8 + size, place + 8);
      place += 8 + size + (size % 2);
    }
  },
  avif(view, name, add) {
    // A box "colr" of the kind "prof" among the first ones. AVIF is turned by boxes, not by EXIF.
    for (let place = 12; place < Math.min(view.byteLength, 1 << 16); place++) {
      if (view.getUint32(place) === 0x636f6c72 && ["prof", "rICC"].includes(name(place + 4))) {
        add("profile", place + 4, place - 4 + view.getUint32(place - 4), place + 8);
        return;
      }
    }
  },
};

const PROFILES = {
  /** The parts, of which each begins with its number and how many there are. */
  async jpeg(parts) {
    const ordered = parts.toSorted((one, other) => one[0] - other[0]);
    if (ordered.some((part) => part[1] !== ordered.length)) return null;
    return new Uint8Array(await new Blob(ordered.map((part) => part.subarray(2))).arrayBuffer());
  },
  /** Compressed, after a name, a 0, and the kind of compression. */
  async png([chunk]) {
    const compressed = new Blob([chunk.subarray(chunk.indexOf(0) + 2, -4)]);
    const stream = compressed.stream().pipeThrough(new DecompressionStream("deflate"));
    try {
      return new Uint8Array(await new Response(stream).arrayBuffer());
    } catch {
      return null; // damaged
    }
  },
  webp: ([content]) => content,
  avif: ([content]) => content,
};

/** The orientation in EXIF: a whole number, of which 1 to 8 mean something; 1 if there is none. */
function orientationOf(exif) {
  let orientation = 1;
  try {
    const skipped = String.fromCharCode(...exif.subarray(0, 4)) === "Exif" ? 6 : 0;
    const view = new DataView(exif.buffer, exif.byteOffset + skipped, exif.length - skipped);
    const little = view.getUint16(0) === 0x4949;
    const first = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(first, little); i++) {
      const entry = first + 2 + 12 * i;
      const [kind, count] = [view.getUint16(entry + 2, little), view.getUint32(entry + 4, little)];
      const size = { 3: 2, 4: 4, 8: 2, 9: 4 }[kind]; // bytes of the kinds of whole numbers
      if (view.getUint16(entry, little) !== 0x112 || !size || !count) continue;
      const place = size * count > 4 ? view.getUint32(entry + 8, little) : entry + 8;
      orientation = size === 2 ? view.getUint16(place, little) : view.getUint32(place, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // it ends: what was found counts
  }
  return orientation;
}

// The data in the page: a header that describes every array of every experiment, and the compressed arrays.

const HEADER = JSON.parse(document.getElementById("header").textContent);
const UNKNOWN = 65535; // the 16-bit integer that stands for NaN, as in payload.py

class Experiment {
  // header: the experiment's part of the header, whose fields payload.py defines; bytes: all arrays, with their bytes grouped by
  // significance.
  constructor(header, bytes) {
    Object.assign(this, header);
    this.bytes = bytes;
    this.decoded = new Map();
  }

  has(name) {
    return name in this.arrays;
  }

  // The numbers of an array at given indices along its first dimensions, such as `row("W_E_fourier_norm", run, epoch)`.
  row(name, ...indices) {
    const { shape, scale, type } = this.arrays[name];
    const size = shape.slice(indices.length).reduce((product, length) => product * length, 1);
    const start = size * indices.reduce((flat, index, dimension) => flat * shape[dimension] + index, 0);
    const values = this.all(name).subarray(start, start + size);
    return type === "uint16" ? Float64Array.from(values, (value) => (value === UNKNOWN ? NaN : value * scale)) : values;
  }

  // The number of an array at given indices along all of its dimensions.
  value(name, ...indices) {
    return this.row(name, ...indices)[0];
  }

  // The values of a run at all checkpoints, from an array with dimensions (run, epoch, …).
  curve(name, run) {
    return this.row(name, run);
  }

  // All numbers of an array, before they are multiplied by `scale`; decoded when they are first read.
  all(name) {
    if (!this.decoded.has(name)) {
      const { type, shape, offset } = this.arrays[name];
      const ArrayType = { float32: Float32Array, uint16: Uint16Array }[type];
      const count = shape.reduce((product, length) => product * length, 1);
      this.decoded.set(name, new ArrayType(joinBytes(this.bytes, offset, count, ArrayType.BYTES_PER_ELEMENT)));
    }
    return this.decoded.get(name);
  }

  // The name of an array with its unit, such as `Restricted loss (nat)`.
  label(name) {
    const { label, units } = this.arrays[name];
    return units === "1" ? label : `${label} (${units})`;
  }
}

// Decode bytes that are grouped by significance: first bytes of all numbers, then second bytes, and so on.
function joinBytes(bytes, offset, count, width) {
  const joined = new Uint8Array(count * width);
  for (let byte = 0; byte < width; byte++) {
    const start = offset + byte * count;
    for (let index = 0; index < count; index++) joined[index * width + byte] = bytes[start + index];
  }
  return joined.buffer;
}

const opened = new Map(); // promises of experiments, by name

// Return a promise of an experiment, by name; its data are decompressed at the first call.
function openExperiment(name) {
  if (!opened.has(name)) {
    const experimentIndex = HEADER.experiments.findIndex((header) => header.name === name);
    const text = atob(document.getElementById(`data-${experimentIndex}`).textContent);
    const packed = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index++) packed[index] = text.charCodeAt(index);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    opened.set(name, new Response(stream).arrayBuffer().then(
      (buffer) => new Experiment(HEADER.experiments[experimentIndex], new Uint8Array(buffer))));
  }
  return opened.get(name);
}

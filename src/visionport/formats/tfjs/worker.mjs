// Runs a model.json for Python: node worker.mjs MODULES DETECT_JS MODEL_JSON
// Messages on standard input and output: the length of a header (4 bytes), the header as JSON, and the arrays that it
// names, one behind the other.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, detect, file] = process.argv.slice(2);
const require = createRequire(path.join(modules, "package.json"));
const out = fs.writeSync;
console.log = console.info = console.warn = () => {};

function read(size) {
  const buffer = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    let count = 0;
    try {
      count = fs.readSync(0, buffer, at, size - at, null);
    } catch (error) {
      if (error.code === "EAGAIN") continue;
      throw error;
    }
    if (!count) process.exit(0);
    at += count;
  }
  return buffer;
}

function write(header, arrays = []) {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  for (const part of [length, text, ...arrays]) for (let at = 0; at < part.length; ) at += fs.writeSync(1, part, at);
}

async function open() {
  const tf = { ...require("@tensorflow/tfjs-core"), ...require("@tensorflow/tfjs-converter") };
  require("@tensorflow/tfjs-backend-cpu");
  const wasm = require("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(path.join(path.dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json")), "wasm-out") + path.sep);
  wasm.setThreadsCount(Number(process.env.VISIONPORT_TFJS_THREADS || 1));
  if (!(await tf.setBackend("wasm"))) await tf.setBackend("cpu");
  await tf.ready();
  bare = peak();
  const { Model } = await import(pathToFileURL(detect));
  const { modelTopology, weightsManifest, ...rest } = JSON.parse(fs.readFileSync(file));
  const parts = weightsManifest.flatMap((group) => group.paths);
  const data = Buffer.concat(parts.map((name) => fs.readFileSync(path.join(path.dirname(file), name))));
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const weightData = data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
  const artifacts = { modelTopology, weightSpecs, weightData, ...rest };
  const graph = await tf.loadGraphModel(tf.io.fromMemory(artifacts));
  return new Model(tf, graph, (graph.metadata && graph.metadata.visionport) || {}); // {}: of another maker
}

/** The most bytes that this process has held: of its own program alone, where Linux tells. */
function peak() {
  try {
    return 1024 * Number(fs.readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s*(\d+)/)[1]);
  } catch {
    return 1024 * process.resourceUsage().maxRSS;
  }
}

let bare = 0; // peak with TensorFlow.js and without the model
let model;
try {
  model = await open();
  write({ ready: true, backend: model.tf.getBackend() });
} catch (error) {
  write({ error: String(error && error.message) });
  process.exit(1);
}
for (;;) {
  const { shape, spent } = JSON.parse(read(read(4).readUInt32LE()));
  if (spent) {
    const { user, system } = process.cpuUsage();
    write({ spent: { cpu: (user + system) / 1e6, memory: peak() - bare } });
    continue;
  }
  const bytes = read(4 * shape.reduce((a, b) => a * b, 1));
  try {
    const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const outputs = await model.run({ data, shape });
    const names = Object.keys(outputs);
    const header = names.map((name) => ({ name, shape: outputs[name].shape, dtype: outputs[name].dtype }));
    const arrays = names.map((name) => Buffer.from(outputs[name].data.buffer, outputs[name].data.byteOffset, outputs[name].data.byteLength));
    write({ outputs: header }, arrays);
  } catch (error) {
    write({ error: String(error && error.message) });
  }
}

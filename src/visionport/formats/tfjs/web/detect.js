// Asks a model.json that visionport wrote about pictures. TensorFlow.js is yours to load, and to hand over:
//
//   import { load } from "./detect.js";
//   const model = await load(tf, "model.json");
//   const answer = await model.ask(picture);   // an ImageData, a canvas, an image or a video
//   // detection:      [{ class, label, score, box: { xmin, ymin, xmax, ymax } }], boxes in pixels, the best first;
//   //                 where the model knows keypoints, also keypoints: [{ x, y, score }]
//   // classification: [{ class, label, score }], the best first
//   // segmentation:   { width, height, classes, labels }, a class a pixel
//   model.dispose();

const MIN_SCORE = 0.3;
const FIRST = 1000; // anchors that are suppressed before all are: nearly always enough
const f32 = Math.fround;

export async function load(tf, source) {
  // TensorFlow.js looks for the weights of a bare name at the server's root.
  const bare = typeof source === "string" && !source.includes("/");
  const graph = await tf.loadGraphModel(bare ? `./${source}` : source);
  return new Model(tf, graph, told(graph.metadata));
}

function told(metadata) {
  const found = metadata && metadata.visionport;
  if (!found) throw new Error("This model.json was not written by visionport: it does not say how it is asked.");
  return found;
}

export class Model {
  constructor(tf, graph, about) {
    this.tf = tf;
    this.graph = graph;
    this.about = about;
  }

  get task() {
    return this.about.model.task;
  }

  /** The class's name, or its number where nobody has told its name. */
  label(number) {
    const name = this.about.labels[number - this.about.first_label];
    return name === undefined || name === "???" ? `class ${number}` : name;
  }

  /**
   * minScore: of detections; most: classes of a classification; longest: pixels of the longer side of a segmentation,
   * where it may be smaller than the picture.
   */
  async ask(picture, { minScore = MIN_SCORE, most = 5, longest = Infinity } = {}) {
    const reader = READERS[this.task];
    if (!reader) throw new Error(`Models for ${this.task} are not asked here; run() gives their outputs.`);
    const { data, width, height } = pixelsOf(picture);
    const input = prepare({ data, width, height, channels: 4 }, this.about.preprocessing);
    const outputs = await this.run(input, input.extent);
    return reader(this, outputs, { width, height, extent: input.extent, minScore, most, longest });
  }

  /** Outputs by name, { data, shape, dtype }, of what `prepare` gives. extent: how much of it is no padding. */
  async run(input, extent = [1, 1]) {
    const { tf, graph, about } = this;
    const names = graph.outputNodes.map((name) => name.replace(/:0$/, ""));
    const kind = graph.inputs[0].dtype || "float32";
    const fed = tf.tidy(() => tf.cast(tf.tensor(input.data, input.shape, "float32"), kind));
    const found = {};
    try {
      const result = await this.execute({ [graph.inputs[0].name]: fed }, names);
      const tensors = Array.isArray(result) ? result : [result];
      for (const [i, name] of names.entries()) {
        found[name] = { data: await tensors[i].data(), shape: tensors[i].shape, dtype: tensors[i].dtype };
      }
      const weights = new Set(Object.values(graph.weights).flat()); // an output may be one, as anchors are
      for (const tensor of tensors) if (!weights.has(tensor)) tensor.dispose();
    } finally {
      fed.dispose();
    }
    const rules = about.suppression;
    return rules ? { ...found, ...(await suppress(tf, found[rules.boxes], found[rules.scores], rules, extent)) } : found;
  }

  /** At once where the graph has no shapes that depend on values, as TensorFlow.js wants it. */
  async execute(fed, names) {
    if (!this.later) {
      try {
        return this.graph.execute(fed, names);
      } catch (error) {
        if (!/executeAsync/.test(error.message)) throw error;
        this.later = true;
      }
    }
    return this.graph.executeAsync(fed, names);
  }

  dispose() {
    this.graph.dispose();
  }
}

function pixelsOf(picture) {
  if (picture.data) return picture;
  const width = picture.videoWidth || picture.naturalWidth || picture.width;
  const height = picture.videoHeight || picture.naturalHeight || picture.height;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// ------------------------------------------------------------------------------------------------ answers

const READERS = {
  detection(model, outputs, { width, height, extent, minScore }) {
    const [boxes, scores, classes] = ["boxes", "scores", "classes"].map((n) => outputs[`detection_${n}`].data);
    const count = outputs.num_detections.data[0];
    const answers = model.about.reading.answers;
    const [high, wide] = answers.boxes === "frame" ? extent : [1, 1];
    const clip = (value) => Math.min(Math.max(value, 0), 1);
    const found = [];
    for (let i = 0; i < count; i++) {
      if (!(scores[i] >= minScore)) continue;
      const [ymin, xmin, ymax, xmax] = [0, 1, 2, 3].map((k) => clip(boxes[4 * i + k] / (k % 2 ? wide : high)));
      const number = classes[i] + 1 - answers.classes_from;
      const box = { xmin: xmin * width, ymin: ymin * height, xmax: xmax * width, ymax: ymax * height };
      const one = { class: number, label: model.label(number), score: scores[i], box };
      found.push(outputs.detection_keypoints ? { ...one, keypoints: points(outputs, i, width / wide, height / high) } : one);
    }
    return found;
  },

  classification(model, outputs, { most }) {
    const probabilities = Array.from(outputs.probs.data);
    const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    const first = model.about.reading.answers.classes_from || 0;
    return order.slice(0, most).map((i) => ({ class: i + first, label: model.label(i + first), score: probabilities[i] }));
  },

  segmentation(model, outputs, { width, height, extent, longest }) {
    const scale = Math.min(1, longest / Math.max(width, height));
    [width, height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    const { data, shape } = outputs.logits;
    const [, rows, columns, depth] = shape;
    const down = neighbours(height, rows, extent[0]);
    const along = neighbours(width, columns, extent[1]);
    const known = new Map(); // rows of the logits, as wide as the answer
    const widened = (row) => {
      if (!known.has(row)) known.set(row, widen(data.subarray(row * columns * depth), along, depth));
      return known.get(row);
    };
    const classes = new Uint16Array(width * height);
    const first = model.about.reading.answers.classes_from || 0;
    for (let y = 0; y < height; y++) {
      const [upper, lower, share] = [widened(down.low[y]), widened(down.high[y]), down.share[y]];
      for (const row of known.keys()) if (row < down.low[y]) known.delete(row);
      for (let x = 0, at = 0; x < width; x++) {
        let [best, highest] = [0, -Infinity];
        for (let c = 0; c < depth; c++, at++) {
          const value = upper[at] + (lower[at] - upper[at]) * share;
          if (value > highest) [best, highest] = [c, value];
        }
        classes[y * width + x] = best + first;
      }
    }
    const labels = Object.fromEntries([...new Set(classes)].sort((a, b) => a - b).map((c) => [c, model.label(c)]));
    return { width, height, classes, labels };
  },
};

/** Keypoints of one detection, in pixels. */
function points({ detection_keypoints: places, detection_keypoint_scores: scores }, i, width, height) {
  const count = places.shape[2];
  return Array.from({ length: count }, (_, k) => {
    const at = i * count + k;
    return { x: places.data[2 * at + 1] * width, y: places.data[2 * at] * height, score: scores ? scores.data[at] : 1 };
  });
}

/** A row of logits [columns, depth] at the places `along`. */
function widen(row, { low, high, share }, depth) {
  const out = new Float32Array(low.length * depth);
  for (let x = 0, o = 0; x < low.length; x++) {
    const [left, right] = [low[x] * depth, high[x] * depth];
    for (let c = 0; c < depth; c++) out[o++] = row[left + c] + (row[right + c] - row[left + c]) * share[x];
  }
  return out;
}

/** For each of `size` pixels over that share of `length` values: the two beside it, and how near the second is. */
function neighbours(size, length, share) {
  const inside = Math.max(1, Math.round(share * length));
  const at = Array.from({ length: size }, (_, i) =>
    Math.min(Math.max(((i + 0.5) * inside) / size - 0.5, 0), inside - 1),
  );
  const low = at.map(Math.floor);
  return { low, high: low.map((i) => Math.min(i + 1, inside - 1)), share: at.map((v, i) => f32(v - low[i])) };
}

// ------------------------------------------------------------------------------------------------ suppression

/** Detections of one picture, of boxes [1, n, 4] or [1, n, 1, 4] and scores [1, n, columns]; see `rules` in model.json. */
export async function suppress(tf, boxes, scores, rules, extent = [1, 1]) {
  const columns = scores.shape[2];
  const count = scores.shape[1];
  const corners = scaled(boxes.data, rules.divide_by);
  const usable = rules.drops_zero_boxes
    ? (i) => corners.subarray(4 * i, 4 * i + 4).some((value) => value > 0)
    : () => true;
  const best = new Float32Array(count).fill(-Infinity);
  for (let i = 0; i < count; i++) {
    for (let c = rules.first_column; usable(i) && c < columns; c++) {
      best[i] = Math.max(best[i], scores.data[i * columns + c]);
    }
  }
  let level = rules.score_threshold;
  if (count > FIRST && !(rules.candidates < FIRST)) {
    level = Math.max(level, Float32Array.from(best).sort()[count - FIRST]);
  }
  let found = await survivors(tf, corners, scores.data, columns, best, usable, rules, level, extent);
  if (found.length < rules.max_total && level > rules.score_threshold) {
    found = await survivors(tf, corners, scores.data, columns, best, usable, rules, rules.score_threshold, extent);
  }
  return asOutputs(found.slice(0, rules.max_total), rules);
}

/** Those of each class, the best first; of equal scores the lower class. */
async function survivors(tf, corners, scores, columns, best, usable, rules, level, extent) {
  const found = [];
  const sets = rules.class_agnostic ? [null] : Array.from({ length: columns - rules.first_column }, (_, i) => i);
  const anchors = [];
  for (let i = 0; i < best.length; i++) if (best[i] > level && usable(i)) anchors.push(i);
  for (const set of sets) {
    const score = (i) => (set === null ? best[i] : scores[i * columns + rules.first_column + set]);
    let own = anchors.filter((i) => score(i) > level);
    if (!own.length) continue;
    if (rules.candidates && own.length > rules.candidates) {
      own = own.sort((a, b) => score(b) - score(a) || a - b).slice(0, rules.candidates);
      own.sort((a, b) => a - b);
    }
    const taken = new Float32Array(4 * own.length);
    own.forEach((i, k) => taken.set(corners.subarray(4 * i, 4 * i + 4), 4 * k));
    const given = [tf.tensor2d(taken, [own.length, 4]), tf.tensor1d(Float32Array.from(own, score))];
    const limits = [rules.max_per_class, rules.iou_threshold, level];
    const kept = await tf.image.nonMaxSuppressionAsync(...given, ...limits);
    for (const k of await kept.data()) {
      const i = own[k];
      const box = corners.subarray(4 * i, 4 * i + 4);
      if (rules.drops_empty && !hasArea(box, extent)) continue;
      found.push({ box, score: score(i), class: set === null ? classOf(i, best[i]) : set });
    }
    for (const tensor of [...given, kept]) tensor.dispose();
  }

  function classOf(i, value) {
    for (let c = 0; ; c++) if (scores[i * columns + rules.first_column + c] === value) return c;
  }
  return found.sort((a, b) => b.score - a.score || a.class - b.class);
}

function scaled(boxes, [height, width]) {
  return height === 1 && width === 1 ? boxes : boxes.map((value, i) => f32(value / (i % 2 ? width : height)));
}

function hasArea([ymin, xmin, ymax, xmax], [height, width]) {
  const inside = (value, most) => Math.min(Math.max(value, 0), most);
  return inside(ymax, height) > inside(ymin, height) && inside(xmax, width) > inside(xmin, width);
}

function asOutputs(found, rules) {
  const size = rules.max_total;
  const boxes = new Float32Array(4 * size);
  const scores = new Float32Array(size);
  const classes = new Float32Array(size);
  found.forEach((one, i) => {
    boxes.set(one.box, 4 * i);
    scores[i] = one.score;
    classes[i] = one.class + rules.first_class;
  });
  const row = (data, shape) => ({ data, shape, dtype: "float32" });
  return {
    detection_boxes: row(boxes, [1, size, 4]),
    detection_scores: row(scores, [1, size]),
    detection_classes: row(classes, [1, size]),
    num_detections: row(Float32Array.of(found.length), [1]),
  };
}

// ------------------------------------------------------------------------------------------------ preprocessing

/**
 * What the network takes of a picture, { data, width, height, channels: 3 or 4 } of bytes: { data, shape [1, H, W, c],
 * extent: how much of its height and width is no padding }. how: `preprocessing` in model.json.
 * Every step is TensorFlow's own, in float32 and in its order.
 */
export function prepare(picture, how) {
  const resizer = RESIZERS[how.resizer];
  if (!resizer) throw new Error(`Pictures cannot be resized here as ${how.resizer} does.`);
  let image = resizer({ ...picture, data: rgb(picture), channels: 3 }, how);
  const size = [image.height, image.width];
  if (!how.pads_first) image = normalize(image, how);
  const wanted = paddedSize(how, size);
  if (wanted) image = pad(image, wanted, how.pad_value);
  if (how.grayscale) image = gray(image);
  if (how.pads_first) image = normalize(image, how);
  return {
    data: image.data,
    shape: [1, image.height, image.width, image.channels],
    extent: [size[0] / image.height, size[1] / image.width],
  };
}

function rgb({ data, channels }) {
  if (channels === 3) return data;
  const out = new Uint8Array((data.length / 4) * 3);
  for (let i = 0, o = 0; i < data.length; i += 4) {
    out[o++] = data[i];
    out[o++] = data[i + 1];
    out[o++] = data[i + 2];
  }
  return out;
}

const RESIZERS = {
  FixedShape: (image, how) => resize(image, how.height, how.width, how),
  KeepAspectRatio: (image, how) => {
    const [low, high] = [how.min_dimension, how.max_dimension];
    const along = image.height < image.width ? [low, high] : [high, low];
    const scale = Math.min(f32(along[0] / image.height), f32(along[1] / image.width));
    return resize(image, round(f32(scale * image.height)), round(f32(scale * image.width)), how);
  },
  ConditionalShape: (image, how) => {
    const side = (how.condition === "greater" ? Math.max : Math.min)(image.height, image.width);
    const wanted = (how.condition === "greater" ? Math.min : Math.max)(side, how.threshold);
    const scale = f32(wanted / side);
    const size = [image.height, image.width].map((value) => Math.floor(f32(value * scale)));
    return resize(image, ...size, { ...how, alignCorners: true });
  },
  PadToMultiple: (image) => image,
  Identity: (image) => image,
  CropAndResize: (image, how) =>
    resize(how.crop ? centerCrop(image, how.crop) : image, how.height, how.width, { halfPixelCenters: true }),
  FitAndPad: (image, how) => {
    const scale = Math.min(f32(how.height / image.height), f32(how.width / image.width));
    const fitted = [image.height, image.width].map((value) => round(f32(value * scale)));
    const size = how.keep_aspect_ratio ? fitted : [how.height, how.width];
    return resize(image, ...size, { halfPixelCenters: true });
  },
};

/** To the nearest whole number, halves to the even one. */
function round(value) {
  const floor = Math.floor(value);
  const over = value - floor;
  return over > 0.5 || (over === 0.5 && floor % 2) ? floor + 1 : floor;
}

function centerCrop(image, share) {
  const side = f32(f32(share) * Math.min(image.height, image.width));
  const [top, left] = [image.height, image.width].map((value) => Math.floor(f32(value - side) / 2));
  const size = Math.floor(side);
  const data = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    const start = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(start, start + size * 3), y * size * 3);
  }
  return { data, height: size, width: size, channels: 3 };
}

function resize(image, height, width, { method = "bilinear", alignCorners = false, halfPixelCenters = false }) {
  if (height < 1 || width < 1) throw new Error("The picture is so narrow that nothing would be left of it.");
  if (method !== "bilinear" && method !== "nearest") throw new Error(`Pictures cannot be resized here by ${method}.`);
  const rows = places(image.height, height, method, alignCorners, halfPixelCenters);
  const columns = places(image.width, width, method, alignCorners, halfPixelCenters);
  const out = new Float32Array(height * width * 3);
  const mix = (a, b, share) => f32(a + f32(f32(b - a) * share));
  let o = 0;
  for (const [top, bottom, down] of rows) {
    for (const [left, right, along] of columns) {
      for (let c = 0; c < 3; c++) {
        const at = (row, column) => image.data[(row * image.width + column) * 3 + c];
        const above = mix(at(top, left), at(top, right), along);
        out[o++] = mix(above, mix(at(bottom, left), at(bottom, right), along), down);
      }
    }
  }
  return { data: out, height, width, channels: 3 };
}

/** The pixels before and behind each sample, and how far it is between them. */
function places(now, wanted, method, alignCorners, halfPixelCenters) {
  const ends = alignCorners && wanted > 1 ? 1 : 0;
  const step = f32((now - ends) / (wanted - ends));
  const half = halfPixelCenters ? 0.5 : 0;
  const inside = (value) => Math.min(Math.max(value, 0), now - 1);
  return Array.from({ length: wanted }, (_, i) => {
    if (method === "nearest") {
      const at = f32((i + half) * step);
      const pixel = inside(Math.floor(alignCorners ? f32(at + 0.5) : at));
      return [pixel, pixel, 0];
    }
    const at = f32(f32((i + half) * step) - half);
    return [inside(Math.floor(at)), inside(Math.ceil(at)), f32(at - Math.floor(at))];
  });
}

function normalize(image, { mean, std, bgr }) {
  const { channels } = image;
  const out = new Float32Array(image.data.length);
  for (let c = 0; c < channels; c++) {
    const factor = f32(1 / f32(std[c]));
    const offset = f32(f32(mean[c]) / f32(std[c]));
    const source = bgr ? channels - 1 - c : c;
    for (let i = 0; i < out.length; i += channels) out[i + c] = f32(f32(image.data[i + source] * factor) - offset);
  }
  return { ...image, data: out };
}

function paddedSize(how, size) {
  if (how.resizer === "KeepAspectRatio" && how.pad_to_max) return [how.max_dimension, how.max_dimension];
  if (how.resizer === "PadToMultiple") return size.map((side) => Math.ceil(side / how.multiple) * how.multiple);
  if (how.resizer !== "FitAndPad") return null;
  return [how.height, how.width].map((side) => Math.ceil(side / how.multiple) * how.multiple);
}

function pad(image, [height, width], value = [0, 0, 0]) {
  const data = new Float32Array(height * width * 3);
  if (value.some(Boolean)) for (let i = 0; i < data.length; i++) data[i] = value[i % 3];
  for (let y = 0; y < image.height; y++) {
    data.set(image.data.subarray(y * image.width * 3, (y + 1) * image.width * 3), y * width * 3);
  }
  return { data, height, width, channels: 3 };
}

function gray({ data, height, width }) {
  const out = new Float32Array(height * width);
  for (let i = 0; i < out.length; i++) {
    out[i] = f32(f32(f32(data[3 * i] * f32(0.2989)) + f32(data[3 * i + 1] * f32(0.587))) + f32(data[3 * i + 2] * f32(0.114)));
  }
  return { data: out, height, width, channels: 1 };
}

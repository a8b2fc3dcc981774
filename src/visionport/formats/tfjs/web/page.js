// The page: takes a picture or the camera, and draws what detect.js answers. Texts are set as text, never as HTML.
import { load } from "./detect.js";

const LARGEST = 1600; // pixels of the side of what is drawn
const [title, about, file, camera, range, score, shown, canvas, status, list] = [
  ...["title", "about", "file", "camera", "range", "score", "shown", "canvas", "status", "answer"],
].map((id) => document.getElementById(id));
const asked = new URLSearchParams(location.search);
const context = canvas.getContext("2d", { willReadFrequently: true });
let model;
let picture; // what was asked about last
let video;

function say(text, state = "") {
  status.textContent = text;
  status.dataset.state = state;
}

function fail(error) {
  say(String((error && error.message) || error), "error");
}

async function start() {
  if (!globalThis.tf) {
    throw new Error(
      "TensorFlow.js is not here. Put tf.min.js beside this page:\n" +
        "npm pack @tensorflow/tfjs@4.22.0 and take package/dist/tf.min.js out of the archive.",
    );
  }
  const { tf } = globalThis;
  if (asked.get("backend")) await tf.setBackend(asked.get("backend"));
  await tf.ready();
  model = await load(tf, "model.json");
  const { architecture, num_classes: classes, task } = model.about.model;
  document.title = title.textContent = architecture;
  about.textContent = `${task}, ${classes} classes, TensorFlow.js on ${tf.getBackend()}`;
  range.hidden = task !== "detection";
  say("Choose a picture.");
  if (asked.get("picture")) await show(await decode(asked.get("picture")));
}

async function decode(url) {
  const image = new Image();
  image.src = url;
  await image.decode().catch(() => {
    throw new Error(`This is no picture that the browser knows: ${url}`);
  });
  return image;
}

async function show(source) {
  picture = source;
  const width = source.videoWidth || source.naturalWidth;
  const height = source.videoHeight || source.naturalHeight;
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  const pixels = document.createElement("canvas");
  [pixels.width, pixels.height] = [width, height];
  pixels.getContext("2d").drawImage(source, 0, 0);
  const began = performance.now();
  const answer = await model.ask(pixels, { minScore: Number(score.value) });
  const took = performance.now() - began;
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  context.drawImage(pixels, 0, 0, canvas.width, canvas.height);
  list.replaceChildren(...DRAWINGS[model.task](answer, scale));
  say(`${list.children.length || "Nothing"} found in ${Math.round(took)} ms.`, "done");
}

const DRAWINGS = {
  detection(answer, scale) {
    const size = Math.max(12, Math.round(canvas.width / 40));
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.lineWidth = Math.max(2, size / 8);
    for (const one of [...answer].reverse()) {
      const [x, y] = [one.box.xmin * scale, one.box.ymin * scale];
      context.strokeStyle = color(one.class);
      context.strokeRect(x, y, (one.box.xmax - one.box.xmin) * scale, (one.box.ymax - one.box.ymin) * scale);
      const text = `${one.label} ${one.score.toFixed(2)}`;
      const top = Math.max(0, y - size * 1.3);
      context.fillStyle = color(one.class);
      context.fillRect(x, top, context.measureText(text).width + size * 0.6, size * 1.3);
      context.fillStyle = "#fff";
      context.fillText(text, x + size * 0.3, top + size);
    }
    return answer.map((one) => row(one.class, one.label, one.score.toFixed(2)));
  },

  classification: (answer) => answer.map((one) => row(one.class, one.label, one.score.toFixed(3))),

  segmentation({ width, height, classes, labels }) {
    const map = document.createElement("canvas");
    [map.width, map.height] = [width, height];
    const image = map.getContext("2d").createImageData(width, height);
    const counts = {};
    classes.forEach((number, i) => {
      counts[number] = (counts[number] || 0) + 1;
      const [r, g, b] = channels(number);
      image.data.set([r, g, b, number ? 150 : 0], 4 * i);
    });
    map.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(map, 0, 0, canvas.width, canvas.height);
    const order = Object.keys(counts).sort((a, b) => counts[b] - counts[a]);
    return order.map((n) => row(Number(n), labels[n], `${((100 * counts[n]) / classes.length).toFixed(1)} %`));
  },
};

function row(number, name, figure) {
  const item = document.createElement("li");
  for (const [kind, text] of Object.entries({ swatch: "", name, score: figure })) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    if (kind === "swatch") part.style.background = color(number);
    item.append(part);
  }
  return item;
}

/** Dark enough for white letters, and far apart for neighbours. */
function channels(number) {
  const hue = (number * 137.508) % 360;
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.36 - 0.29 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}

function color(number) {
  return `rgb(${channels(number).join(" ")})`;
}

async function toggleCamera() {
  if (video) {
    for (const track of video.srcObject.getTracks()) track.stop();
    video = undefined;
    camera.setAttribute("aria-pressed", "false");
    camera.textContent = "Camera";
    return;
  }
  const devices = navigator.mediaDevices;
  if (!devices) throw new Error("There is no camera here: browsers give it to pages of https or localhost alone.");
  const element = document.createElement("video");
  element.playsInline = true;
  element.srcObject = await devices.getUserMedia({ video: { facingMode: "environment" } });
  await element.play();
  video = element;
  camera.setAttribute("aria-pressed", "true");
  camera.textContent = "Stop";
  while (video) {
    await show(video);
    await new Promise(requestAnimationFrame);
  }
}

file.addEventListener("change", () => {
  if (!file.files.length || !model) return;
  const url = URL.createObjectURL(file.files[0]);
  decode(url).then(show).catch(fail).finally(() => URL.revokeObjectURL(url));
});
camera.addEventListener("click", () => model && toggleCamera().catch(fail));
score.addEventListener("input", () => {
  shown.textContent = Number(score.value).toFixed(2);
  if (picture && !video) show(picture).catch(fail);
});
start().catch(fail);

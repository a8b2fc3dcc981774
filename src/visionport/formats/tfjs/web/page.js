// The page: takes a picture or the camera, and draws what detect.js answers. Texts are set as text, never as HTML.
import { load } from "./detect.js";

const [SMALLEST, LARGEST] = [640, 1600]; // pixels of the longer side of what is drawn
// Which of the 17 keypoints of COCO's persons belong together, from nose to ankles.
const PERSON = "0-1 0-2 1-3 2-4 0-5 0-6 5-7 7-9 6-8 8-10 5-6 5-11 6-12 11-12 11-13 13-15 12-14 14-16";
const [title, about, file, camera, range, score, shown, canvas, status, list] = [
  ...["title", "about", "file", "camera", "range", "score", "shown", "canvas", "status", "answer"],
].map((id) => document.getElementById(id));
const asked = new URLSearchParams(location.search);
const context = canvas.getContext("2d");
let model;
let last; // what was answered last: { pixels, answer, took }
let turn = 0; // of questions: an answer that comes after the next question is not drawn
let video;

function say(text, state = "") {
  status.textContent = text;
  status.dataset.state = state;
}

function fail(error) {
  stopCamera();
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
  const backend = asked.get("backend");
  if (backend && !(await tf.setBackend(backend).catch(() => false))) {
    throw new Error(`The backend "${backend}" does not work here: leave ?backend= out, or take cpu or webgl.`);
  }
  await tf.ready();
  model = await load(tf, "model.json");
  const { architecture, num_classes: classes, task } = model.about.model;
  document.title = title.textContent = architecture;
  about.textContent = `${task}, ${classes} classes, TensorFlow.js on ${tf.getBackend()}`;
  range.hidden = task !== "detection";
  file.disabled = camera.disabled = false;
  say("Choose a picture.");
  const picture = asked.get("picture");
  if (picture) await show(await decode(picture, picture));
}

async function decode(url, name) {
  const image = new Image();
  image.src = url;
  await image.decode().catch(() => {
    throw new Error(`This is no picture that the browser knows: ${name}`);
  });
  return image;
}

async function show(source) {
  const mine = ++turn;
  if (source !== video) say("Looking ...");
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); // so that it is read
  const pixels = document.createElement("canvas");
  pixels.width = source.videoWidth || source.naturalWidth;
  pixels.height = source.videoHeight || source.naturalHeight;
  pixels.getContext("2d", { willReadFrequently: true }).drawImage(source, 0, 0);
  const began = performance.now();
  const answer = await model.ask(pixels, { minScore: Number(score.min), longest: LARGEST });
  if (mine !== turn) return;
  last = { pixels, answer, took: performance.now() - began };
  draw();
}

function draw() {
  const { pixels, answer, took } = last;
  const longer = Math.max(pixels.width, pixels.height);
  const scale = Math.min(Math.max(1, SMALLEST / longer), LARGEST / longer);
  [canvas.width, canvas.height] = [pixels.width, pixels.height].map((side) => Math.max(1, Math.round(side * scale)));
  context.drawImage(pixels, 0, 0, canvas.width, canvas.height);
  list.parentElement.setAttribute("aria-live", video ? "off" : "polite");
  list.replaceChildren(...DRAWINGS[model.task](answer, scale));
  say(`${list.children.length || "Nothing"} found in ${Math.round(took)} ms.`, "done");
}

const DRAWINGS = {
  detection(answer, scale) {
    const size = Math.max(12, Math.round(canvas.width / 40));
    const found = answer.filter((one) => one.score >= Number(score.value));
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.lineWidth = Math.max(2, size / 8);
    for (const one of [...found].reverse()) {
      const [x, y] = [one.box.xmin * scale, one.box.ymin * scale];
      context.strokeStyle = context.fillStyle = color(one.class);
      context.strokeRect(x, y, (one.box.xmax - one.box.xmin) * scale, (one.box.ymax - one.box.ymin) * scale);
      drawPoints(one.keypoints || [], scale);
      const text = `${one.label} ${one.score.toFixed(2)}`;
      const wide = context.measureText(text).width + size * 0.6;
      const [left, top] = [Math.max(0, Math.min(x, canvas.width - wide)), Math.max(0, y - size * 1.3)];
      context.fillRect(left, top, wide, size * 1.3);
      context.fillStyle = "#fff";
      context.fillText(text, left + size * 0.3, top + size);
    }
    return found.map((one) => row(one.class, one.label, one.score.toFixed(2)));
  },

  classification: (answer) => answer.map((one) => row(one.class, one.label, one.score.toFixed(3))),

  segmentation({ width, height, classes, labels }) {
    const map = document.createElement("canvas");
    [map.width, map.height] = [width, height];
    const image = map.getContext("2d").createImageData(width, height);
    const counts = {};
    const colors = Object.fromEntries(Object.keys(labels).map((number) => [number, channels(Number(number))]));
    classes.forEach((number, i) => {
      counts[number] = (counts[number] || 0) + 1;
      const [r, g, b] = colors[number];
      image.data.set([r, g, b, number ? 150 : 0], 4 * i);
    });
    map.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(map, 0, 0, canvas.width, canvas.height);
    const order = Object.keys(counts).sort((a, b) => counts[b] - counts[a]);
    return order.map((n) => row(Number(n), labels[n], `${((100 * counts[n]) / classes.length).toFixed(1)} %`));
  },
};

/** Those that the model is as sure of as is asked. */
function drawPoints(points, scale) {
  const sure = points.map((point) => point.score >= Number(score.value));
  const lines = points.length === 17 ? PERSON.split(" ").map((pair) => pair.split("-").map(Number)) : [];
  for (const [from, to] of lines.filter(([a, b]) => sure[a] && sure[b])) {
    context.beginPath();
    context.moveTo(points[from].x * scale, points[from].y * scale);
    context.lineTo(points[to].x * scale, points[to].y * scale);
    context.stroke();
  }
  for (const point of points.filter((_, k) => sure[k])) {
    context.beginPath();
    context.arc(point.x * scale, point.y * scale, 1.5 * context.lineWidth, 0, 2 * Math.PI);
    context.fill();
  }
}

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

async function startCamera() {
  const devices = navigator.mediaDevices;
  if (!devices) throw new Error("There is no camera here: browsers give it to pages of https or localhost alone.");
  camera.disabled = true; // while the browser asks
  const element = document.createElement("video");
  element.playsInline = element.muted = true;
  element.srcObject = await devices.getUserMedia({ video: { facingMode: "environment" } }).catch((error) => {
    throw new Error(`The browser gives no camera: ${error.message || error.name}. It may be refused, missing or in use.`);
  });
  video = element;
  camera.disabled = false;
  camera.setAttribute("aria-pressed", "true");
  camera.textContent = "Stop";
  await element.play();
  while (video === element) await show(element);
}

function stopCamera() {
  if (!video) return;
  for (const track of video.srcObject.getTracks()) track.stop();
  video = undefined;
  turn++;
  camera.setAttribute("aria-pressed", "false");
  camera.textContent = "Camera";
}

file.addEventListener("change", () => {
  if (!file.files.length) return;
  const [chosen] = file.files;
  const url = URL.createObjectURL(chosen);
  file.value = ""; // so that the same one may be chosen again
  stopCamera();
  decode(url, chosen.name).then(show).catch(fail).finally(() => URL.revokeObjectURL(url));
});
camera.addEventListener("click", () => {
  if (video) {
    stopCamera();
    return;
  }
  startCamera().catch((error) => {
    camera.disabled = false;
    fail(error);
  });
});
score.addEventListener("input", () => {
  shown.textContent = Number(score.value).toFixed(2);
  if (last) draw();
});
start().catch(fail);

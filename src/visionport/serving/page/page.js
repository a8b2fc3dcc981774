// The page: which models there are, a picture put to one or two of them, and the same as a program would ask.

import { load } from "./drawing.js";
import { byId, copyButton, element, milliseconds, plural, say, shown } from "./elements.js";
import { showModels } from "./models.js";
import { Pane } from "./pane.js";
import { bytes, Camera, pictureOf, readPicture } from "./picture.js";
import { answerRequests, predictRequests, takesExamples } from "./requests.js";
import { askPicture, listModels, parse, Refusal, token } from "./server.js";
import { targetsOf } from "./targets.js";

const EVERY = 2000; // milliseconds between two looks at the list of models
const LEAST = 0.01; // the score from which the server tells of

const camera = new Camera(byId("video"));
const state = { text: "", targets: [], picture: null, panes: [], running: null, live: false, timer: 0 };

const least = () => Number(byId("score").value);
const targetOf = (select) => state.targets.find((target) => target.path === select.value) ?? null;
const announce = (text) => { if (!state.live) byId("status").textContent = text; };

// ---------------------------------------------------------------- the list of models

/** Looks at the list, again and again; what has changed is shown. */
async function look() {
  clearTimeout(state.timer);
  try {
    const text = await listModels();
    const asked = !byId("token-form").hidden;
    byId("token-form").hidden = true;
    say(byId("trouble"), "");
    byId("main").hidden = false;
    if (asked) byId("first").focus();
    if (text !== state.text) {
      state.text = text;
      takeModels(parse(text).models);
    }
  } catch (error) {
    if (error.status === 401) return askForToken(error.message);
    say(byId("trouble"), shown(error.message));
  }
  if (!document.hidden) state.timer = setTimeout(look, EVERY);
}

function askForToken(sentence) {
  state.text = "";
  byId("main").hidden = true;
  byId("token-form").hidden = false;
  say(byId("trouble"), token.get() ? "The server does not take this token." : "");
  byId("summary").textContent = token.get() ? "" : shown(sentence);
  token.set("");
  byId("token").focus();
}

function takeModels(models) {
  const before = state.panes.map((pane) => versionKey(pane.target));
  state.targets = targetsOf(models);
  const served = models.filter((model) => model.default_version !== null).length;
  byId("summary").textContent = served === models.length ? `${plural(served, "model")} on this server.`
    : `${served} of ${plural(models.length, "model")} on this server can be asked.`;
  fillChoices();
  showModels(byId("models"), models);
  showRequests();
  const now = chosenTargets().map(versionKey);
  if (state.picture && before.join() !== now.join()) askAll();
}

const versionKey = (target) => `${target.path}@${target.version.version}`;

function fillChoices() {
  const given = new URLSearchParams(location.search);
  for (const [id, none] of [["first", null], ["second", "no other"]]) {
    const select = byId(id), wanted = select.value || given.get(id) || "";
    const known = state.targets.filter((target) => id === "first" || target.version.asks);
    const options = known.map((target) => element("option", { value: target.path }, target.text));
    select.replaceChildren(...(none ? [element("option", { value: "" }, none)] : []), ...options);
    const usual = none ? "" : (known.find((target) => target.version.asks) ?? known[0])?.path ?? "";
    select.value = known.some((target) => target.path === wanted) ? wanted : usual;
  }
  showWhy();
}

function showWhy() {
  const target = targetOf(byId("first"));
  const why = target && !target.version.asks ? `${target.text} cannot be asked about pictures here: ${shown(target.version.why)}.` : "";
  say(byId("why"), target ? why : "No model can be asked now.");
  byId("stage").hidden = Boolean(why) || !target;
}

/** One or two targets that are asked. */
function chosenTargets() {
  return [targetOf(byId("first")), targetOf(byId("second"))].filter((target) => target?.version.asks);
}

function choose() {
  const given = new URLSearchParams();
  for (const id of ["first", "second"]) if (byId(id).value) given.set(id, byId(id).value);
  history.replaceState(null, "", `?${given}`);
  showWhy();
  showRequests();
  if (state.picture) askAll();
}

// ---------------------------------------------------------------- asking

async function takePicture(blob, name) {
  if (!blob) return undefined;
  state.picture = await readPicture(blob, name, state.live);
  const { width, height } = state.picture;
  const size = width ? `${width} × ${height}, ` : "";
  byId("picture").textContent = `${shown(name)}: ${size}${bytes(blob.size)}`;
  byId("drop").classList.add("small");
  byId("drop-title").textContent = "Another picture:";
  byId("results").hidden = false;
  return askAll();
}

/** Puts the picture to each target, one after the other, so that their times are their own. */
async function askAll() {
  state.running?.abort();
  const running = state.running = new AbortController();
  const targets = chosenTargets(), { picture } = state;
  byId("results").setAttribute("aria-busy", "true");
  takePanes(targets);
  const said = [];
  for (const pane of state.panes) {
    const stop = showWork(`${pane.target.text} is asked`);
    try {
      const answer = await askPicture(pane.target, picture.blob, LEAST, running.signal);
      answer.marks ??= {};
      await load(answer.marks);
      if (running !== state.running) return;
      pane.show(picture, answer, least());
      showTimes();
      said.push(`${pane.target.text}: ${pane.summary()} in ${milliseconds(answer.round)}`);
    } catch (error) {
      if (running !== state.running) return;
      const stopped = error.name === "AbortError";
      if (stopped && pane.answer) continue;
      const sentence = stopped ? "It was stopped." : error instanceof Refusal ? error.message : `The answer cannot be shown: ${error.message}`;
      pane.refuse(sentence);
      said.push(`${pane.target.text}: ${shown(sentence)}`);
      if (error.status === 401) look();
    } finally {
      stop();
    }
  }
  state.running = null;
  byId("results").setAttribute("aria-busy", "false");
  showTimes();
  announce(said.map((sentence) => sentence.replace(/\.$/, "")).join(". "));
}

/** A pane for each target; those that stay keep what they show. */
function takePanes(targets) {
  const shows = (pane, target) => pane && versionKey(pane.target) === versionKey(target);
  state.panes = targets.map((target, i) => (shows(state.panes[i], target) ? state.panes[i] : new Pane(target)));
  byId("panes").replaceChildren(...state.panes.map((pane) => pane.root));
  byId("panes").classList.toggle("two", targets.length > 1);
}

/** Says that something takes its time, from a moment on; what it gives ends that. */
function showWork(text) {
  const start = performance.now(), box = byId("working");
  const show = () => {
    if (state.live) return;
    if (box.hidden) announce(text);
    box.hidden = false;
    byId("working-text").textContent = `${text} … ${Math.round((performance.now() - start) / 1000)} s`;
  };
  const timer = setInterval(show, 400);
  return () => {
    clearInterval(timer);
    box.hidden = true;
  };
}

function showTimes() {
  const times = state.panes.map((pane) => pane.median());
  const most = Math.max(...times.filter(Boolean).map((time) => time.round), 1e-9);
  for (const pane of state.panes) pane.time(most);
  const scored = state.panes.some((pane) => pane.answer && (pane.answer.marks.found || pane.answer.marks.bars));
  byId("slider").hidden = !scored;
  const both = times.length === 2 && times.every(Boolean) && !state.live;
  say(byId("compared"), both ? compare(times) : "");
}

function compare([a, b]) {
  if (state.panes.some((pane) => pane.times.length < 2)) return "Ask again to compare the times: a model’s first answer takes longer.";
  const [first, second] = state.panes.map((pane) => pane.target.text);
  const [fast, slow, factor] = a.round <= b.round ? [first, second, b.round / a.round] : [second, first, a.round / b.round];
  if (factor < 1.1) return `${first} and ${second} take as long as each other.`;
  return `${fast} answers ${factor.toFixed(1)} times as fast as ${slow}.`;
}

// ---------------------------------------------------------------- the camera

async function startCamera() {
  try {
    await camera.start();
    say(byId("camera-trouble"), "");
    byId("viewfinder").hidden = false;
    byId("camera").hidden = true;
    byId("shoot").focus();
  } catch (error) {
    say(byId("camera-trouble"), error.message);
  }
}

function stopCamera() {
  setLive(false);
  camera.stop();
  byId("viewfinder").hidden = true;
  byId("camera").hidden = false;
}

async function shoot() {
  const blob = await camera.take();
  stopCamera();
  byId("again").focus();
  await takePicture(blob, "camera.jpg");
}

function setLive(on) {
  state.live = on;
  byId("live").setAttribute("aria-pressed", String(on));
}

/** Asks about what the camera sees, as fast as answers come. */
async function follow() {
  setLive(!state.live);
  while (state.live && camera.on) {
    await takePicture(await camera.take(), "camera.jpg");
    if (!state.panes.some((pane) => pane.answer)) setLive(false);
    await new Promise(requestAnimationFrame);
  }
}

// ---------------------------------------------------------------- the request

function showRequests() {
  const target = targetOf(byId("first"));
  if (!target) return byId("requests").replaceChildren();
  const { signatures, asks } = target.version;
  const answer = document.querySelector("[name=verb][value=answer]");
  answer.disabled = !asks;
  if (!asks) document.querySelector("[name=verb][value=predict]").checked = true;
  const predicts = !answer.checked;
  const select = byId("signature"), wanted = select.value;
  select.replaceChildren(...signatures.map((one) => element("option", { value: one.name }, shown(one.name))));
  const usual = signatures.find((one) => one.picture?.type.startsWith("encoded") || one.picture?.type === "image_bytes") ?? signatures[0];
  select.value = signatures.some((one) => one.name === wanted) ? wanted : usual?.name ?? "";
  byId("signature-label").hidden = !predicts || signatures.length < 2;
  const signature = signatures.find((one) => one.name === select.value);
  const texts = predicts ? predictRequests(target, signature, Boolean(token.get())) : answerRequests(target, least(), Boolean(token.get()));
  byId("request-note").textContent = noteOf(target, predicts, signature);
  return byId("requests").replaceChildren(code("curl", texts.curl), code("Python", texts.python));
}

function noteOf(target, predicts, signature) {
  const secret = token.get() ? " TOKEN in the environment is the server’s token." : "";
  if (!predicts) return `${target.text} about photo.jpg, as “visionport predict” prints it.${secret}`;
  if (takesExamples(signature)) return `It takes tf.Examples: put your own features in place of x.${secret}`;
  const known = signature?.picture?.python || !signature?.inputs.length;
  const file = signature?.picture?.python.match(/(clip|photo)\.\w+/)?.[0] ?? "its input";
  const filled = known ? `${target.text} about ${file}, as any client of TensorFlow Serving asks.`
    : "Nothing tells what this signature means: put your own values in place of these.";
  return filled + secret;
}

const code = (title, text) => element("div", { class: "code" }, element("h3", {}, title), copyButton(text),
  element("pre", { tabIndex: 0, "aria-label": title, role: "region" }, element("code", {}, text)));

// ---------------------------------------------------------------- what may be done

byId("first").addEventListener("change", choose);
byId("second").addEventListener("change", choose);
byId("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  takePicture(file, file?.name);
  event.target.value = "";
});
byId("score").addEventListener("input", () => {
  byId("score-shown").textContent = least().toFixed(2);
  for (const pane of state.panes) pane.filter(least());
  showRequests();
});
byId("score").addEventListener("change", () => {
  announce(state.panes.filter((pane) => pane.answer).map((pane) => `${pane.target.text}: ${pane.summary()}`).join(". "));
});
byId("again").addEventListener("click", () => askAll());
byId("stop").addEventListener("click", () => state.running?.abort());
byId("camera").addEventListener("click", startCamera);
byId("camera-off").addEventListener("click", () => { stopCamera(); byId("camera").focus(); });
byId("shoot").addEventListener("click", shoot);
byId("live").addEventListener("click", follow);
byId("signature").addEventListener("change", showRequests);
for (const one of document.querySelectorAll("[name=verb]")) one.addEventListener("change", showRequests);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token").value.trim());
  byId("token").value = "";
  look();
});

document.addEventListener("paste", (event) => {
  const file = pictureOf(event.clipboardData);
  if (file && !byId("main").hidden) takePicture(file, file.name || "pasted picture");
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  const file = pictureOf(event.dataTransfer);
  if (file && !byId("main").hidden) takePicture(file, file.name);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

look();

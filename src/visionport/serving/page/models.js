// The models of the server: a card each, with the states of its versions, their signatures and their classes.

import { element, plural, shown } from "./elements.js";

const STATES = {
  AVAILABLE: ["good", "served"],
  START: ["unknown", "found"],
  LOADING: ["unknown", "loading"],
  UNLOADING: ["unknown", "unloading"],
  END: ["unknown", "gone"],
};

/** Puts the cards into a list. Which of their parts were open stays so. */
export function showModels(list, models) {
  const open = new Set([...list.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  list.replaceChildren(...models.map(card));
  for (const one of list.querySelectorAll("details")) one.open = open.has(one.dataset.key);
}

function card(model) {
  return element(
    "li", {},
    element("h3", {}, shown(model.name)),
    ...model.versions.map((version) => versionOf(model, version)),
    model.versions.length ? null : element("p", { class: "note" }, "It has no versions."),
  );
}

function versionOf(model, version) {
  const [look, word] = version.error ? ["bad", "not loaded"] : STATES[version.state] ?? ["unknown", version.state];
  const labels = Object.entries(model.labels).filter(([, number]) => number === version.version).map(([label]) => shown(label));
  const latest = version.version === model.default_version && model.versions.length > 1 ? ["latest"] : [];
  const names = [...latest, ...labels].map((text) => element("span", { class: "tag" }, text));
  const key = `${model.name}/${version.version}`;
  const parts = [
    element("p", { class: "version" }, element("span", {}, `Version ${version.version}`), ...names,
      element("span", { class: `badge ${look}` }, word)),
  ];
  if (version.error) parts.push(element("p", { class: "note" }, shown(version.error)));
  if (version.signatures) {
    const what = version.task ? `${version.title} · ${version.task}` : version.title;
    parts.push(element("p", { class: "note" }, what));
    if (!version.asks) parts.push(element("p", { class: "note" }, `It cannot be asked about pictures: ${shown(version.why)}.`));
    parts.push(folded(key, plural(version.signatures.length, "signature"), ...version.signatures.map(signatureOf)));
    const classes = Object.entries(version.classes ?? {});
    if (classes.length) parts.push(folded(`${key}/classes`, plural(classes.length, "class", "classes"), classesOf(classes)));
  }
  return element("div", { class: "one-version" }, ...parts);
}

function folded(key, title, ...children) {
  const made = element("details", {}, element("summary", {}, title), ...children);
  made.dataset.key = key;
  return made;
}

function signatureOf(signature) {
  const kind = signature.picture?.type;
  const method = signature.method_name.split("/").pop();
  const rows = [...signature.inputs.map((tensor) => row("in", tensor)), ...signature.outputs.map((tensor) => row("out", tensor))];
  const head = element("thead", {}, element("tr", {},
    ...["", "Tensor", "Type", "Shape"].map((text) => element("th", { scope: "col" }, text))));
  const more = [method && method !== "predict" ? method : "", kind && kind !== signature.name ? kind : ""].filter(Boolean);
  return element(
    "div", { class: "signature" },
    element("h4", {}, element("code", {}, shown(signature.name)), more.length ? ` ${more.map(shown).join(", ")}` : null),
    element("div", { class: "scroll", tabIndex: 0 }, element("table", {}, head, element("tbody", {}, ...rows))),
  );
}

function row(end, tensor) {
  const shape = tensor.shape.length ? tensor.shape.map((size) => size ?? "?").join(" × ") : "one value";
  return element("tr", {}, element("td", { class: "end" }, end), element("th", { scope: "row" }, shown(tensor.name)),
    element("td", {}, shown(tensor.dtype)), element("td", {}, shape));
}

const classesOf = (classes) =>
  element("ul", { class: "classes" }, ...classes.map(([number, name]) =>
    element("li", {}, element("span", { class: "number" }, number), ` ${shown(name)}`)));

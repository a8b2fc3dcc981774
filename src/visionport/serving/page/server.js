// What the server is asked, and what it says where it refuses.

const TOKEN = "visionport-token";
const BASE = new URL(".", document.baseURI);

export class Refusal extends Error {
  constructor(sentence, status = 0) {
    super(sentence);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

/** The address of a path below this page. */
export const address = (path) => new URL(path, BASE).href;

/** A name as a part of a path, also between a shell's quotes. */
export const inPath = (name) => encodeURIComponent(name).replaceAll("'", "%27");

/** The text of a response. Throws Refusal with the server's sentence, or with one of ours where there is none. */
export async function ask(path, options = {}) {
  const headers = new Headers();
  if (token.get()) {
    try {
      headers.set("Authorization", `Bearer ${token.get()}`);
    } catch {
      throw new Refusal("No token holds such letters.", 401);
    }
  }
  let response, text;
  try {
    response = await fetch(address(path), { ...options, headers });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer. Does it still run?");
  }
  if (!response.ok) throw new Refusal(sentenceOf(text) || `The server answers with status ${response.status}.`, response.status);
  return text;
}

function sentenceOf(text) {
  try {
    return String(JSON.parse(text).error ?? "");
  } catch {
    return "";
  }
}

/** What the text holds. Python writes NaN, which a browser does not read. */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal("The answer holds what is no number (NaN), or is no JSON.");
  }
}

export const listModels = () => ask("v1/models");

/** The answer to a picture: {model, version, task, marks, milliseconds, round}. */
export async function askPicture(target, blob, least, signal) {
  const start = performance.now();
  const headers = blob.type === "application/json" ? "application/octet-stream" : blob.type;
  const body = new Blob([blob], { type: headers || "application/octet-stream" });
  const text = await ask(`v1/models/${target.path}:answer?marks=1&min_score=${least}`, { method: "POST", body, signal });
  const round = performance.now() - start;
  return { ...parse(text), round };
}

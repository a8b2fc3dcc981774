// The requests to copy: curl and Python, for a picture's answer and for TensorFlow Serving's predict.

import { address } from "./server.js";

const FILE = "photo.jpg";
const SMALL = 64; // numbers that are written out
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A string as JSON and Python both have it, in letters that show. */
const quoted = (text) =>
  JSON.stringify(text).replace(HIDDEN, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const curl = (options, url, withToken) =>
  ["curl", ...options, withToken ? '-H "Authorization: Bearer $TOKEN"' : "", "\\\n   ", shell(url)].filter(Boolean).join(" ");

const bearer = ', headers={"Authorization": f"Bearer {os.environ[\'TOKEN\']}"}';

/** Python that posts; arguments: what `requests.post` takes besides. */
const post = (url, before, argument, imports, withToken) => {
  const names = [...imports, withToken ? "import os" : ""].filter(Boolean).sort();
  const plain = names.filter((line) => !OTHERS.includes(line));
  const others = [...names.filter((line) => OTHERS.includes(line)), "import requests"].sort(order);
  return `${plain.length ? `${plain.join("\n")}\n\n` : ""}${others.join("\n")}

url = ${quoted(url)}
${before}
response = requests.post(url, ${argument}${withToken ? bearer : ""}, timeout=60)
print(response.text[:1000])
`;
};

const NUMPY = "import numpy as np", TENSORFLOW = "import tensorflow as tf";
const PILLOW = "from PIL import Image", SEQUENCE = "from PIL import Image, ImageSequence";
const OTHERS = [NUMPY, TENSORFLOW, PILLOW, SEQUENCE];
const order = (a, b) => Number(a.startsWith("from")) - Number(b.startsWith("from")) || (a < b ? -1 : 1);

/** {curl, python} for a target's answer about a picture. */
export function answerRequests(target, least, withToken) {
  const url = `${address(`v1/models/${target.path}:answer`)}?min_score=${least}`;
  const body = `with open("${FILE}", "rb") as file:\n    picture = file.read()`;
  return {
    curl: `${curl([`--data-binary @${FILE}`], url, withToken)}\n`,
    python: post(url, body, "data=picture", [], withToken),
  };
}

/** Whether a signature classifies or regresses examples: such are asked by that name, and by features of their own. */
export const takesExamples = (signature) => /\/(classify|regress)$/.test(signature?.method_name ?? "");

/** {curl, python} for a target's predict by a signature of the list; for classify or regress, where that is its method. */
export function predictRequests(target, signature, withToken) {
  if (takesExamples(signature)) {
    const url = address(`v1/models/${target.path}:${signature.method_name.split("/").pop()}`);
    const body = `{"signature_name": ${quoted(signature.name)}, "examples": [{"x": 1.0}]}`;
    return {
      curl: `${curl(["-d", shell(body)], url, withToken)}\n`,
      python: post(url, `body = ${body}`, "json=body", [], withToken),
    };
  }
  const url = address(`v1/models/${target.path}:predict`);
  const made = contentOf(signature);
  const lines = made.lines.length ? `${made.lines.join("\n")}\n` : "";
  const python = post(url, `${lines}body = ${made.body}`, "json=body", importsOf(made), withToken);
  if (made.json) {
    return { curl: `${curl(["-d", shell(made.json)], url, withToken)}\n`, python };
  }
  if (made.encoded) {
    const [before, after] = made.encoded.map(shell);
    const content = `${before}"$(base64 < ${FILE} | tr -d '\\n')"${after}`;
    return { curl: `printf %s ${content} |\n    ${curl(["-d @-"], url, withToken)}\n`, python };
  }
  const program = [...importsOf(made), "import json"].sort(order).join("\n");
  const pipe = curl(["-d @-"], url, withToken);
  return { curl: `python3 - << 'END' | ${pipe}\n${program}\n\n${lines}print(json.dumps(${made.body}))\nEND\n`, python };
}

function importsOf(made) {
  const text = [...made.lines, made.body].join("\n");
  const pillow = text.includes("ImageSequence") ? SEQUENCE : PILLOW;
  return [
    text.includes("base64.") ? "import base64" : "",
    text.includes("glob.") ? "import glob" : "",
    text.includes("np.") ? NUMPY : "",
    text.includes("Image.") ? pillow : "",
    text.includes("tf.") ? TENSORFLOW : "",
  ].filter(Boolean);
}

/**
 * What a signature is sent: lines of Python that make it, and `body`, an expression of Python. json: the whole, where
 * it is short. encoded: the JSON before and behind a picture in base64, where that is all that is sent.
 */
function contentOf(signature) {
  const { picture, inputs } = signature;
  const name = `"signature_name": ${quoted(signature.name)}`;
  const source = picture && inputs.find((tensor) => tensor.name === picture.input);
  if (inputs.length === 1 && takesFiles(picture)) {
    const line = 'with open("photo.jpg", "rb") as file:\n    picture = base64.b64encode(file.read()).decode()';
    const around = (inside) => `{${name}, "instances": [{"b64": ${inside}}]}`;
    return { lines: [line], body: around("picture"), encoded: around('"\u0000"').split("\u0000") };
  }
  const lines = [], values = [];
  let short = true;
  for (const tensor of inputs) {
    const known = tensor === source && picture.python;
    if (known) lines.push(picture.python);
    const given = known ? valueOf(tensor) : picture?.given.includes(tensor.name) ? `${tensor.name}.tolist()` : "";
    short &&= !given && tensor.dtype !== "string" && sizeOf(tensor) <= SMALL;
    values.push(`${quoted(tensor.name)}: ${given || emptyOf(tensor)}`);
    if (!given && tensor.dtype === "string") lines.push(`data = open("${FILE}", "rb").read()  # what ${quoted(tensor.name)} takes`);
  }
  const rows = inputs.length === 1 && inputs[0] === source && picture.python && inputs[0].shape.length > 0;
  const body = rows ? `{${name}, "instances": ${valueOf(source)}}` : `{${name}, "inputs": {${values.join(", ")}}}`;
  if (!short) return { lines: [...new Set(lines)], body };
  const zeros = inputs.map((tensor) => `${quoted(tensor.name)}: ${nested(zeroOf(tensor), tensor.shape)}`);
  return { lines, body, json: `{${name}, "inputs": {${zeros.join(", ")}}}` };
}

const takesFiles = (picture) => ["encoded_image_string_tensor", "image_bytes"].includes(picture?.type);

/** Of `value`, which lines before have made. */
const valueOf = (tensor) =>
  tensor.dtype === "string" ? '[{"b64": base64.b64encode(one).decode()} for one in value]' : "value.tolist()";

const sizeOf = (tensor) => tensor.shape.reduce((product, size) => product * (size ?? 1), 1);

/** A value of the right dtype and shape, where nothing tells of a better one: a place to fill. */
function emptyOf(tensor) {
  if (tensor.dtype === "string") return nested('{"b64": base64.b64encode(data).decode()}', tensor.shape.map(() => 1));
  const shape = tensor.shape.map((size) => size ?? 1);
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  return `np.zeros(${tuple}${pythonType(tensor.dtype)}).tolist()`;
}

const pythonType = (dtype) => (/^u?int/.test(dtype) ? ", int" : dtype === "bool" ? ", bool" : "");

const zeroOf = (tensor) => (/^u?int/.test(tensor.dtype) ? "0" : tensor.dtype === "bool" ? "false" : "0.0");

function nested(value, shape) {
  if (!shape.length) return value;
  const [size, ...rest] = shape;
  return `[${Array(size ?? 1).fill(nested(value, rest)).join(", ")}]`;
}

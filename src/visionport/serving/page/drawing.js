// A picture with its answer on a canvas: class maps, masks, boxes, keypoints, and names where they hide least.

import { shown } from "./elements.js";

const OPACITY = 0.45; // of masks
const FONT = "600 13px system-ui, sans-serif";
const LABEL = { height: 20, pad: 5 };
const NAMED = 25; // detections that have their names beside them, the best and the chosen one

/** Loads the images that marks hold, so that they can be drawn at once. */
export async function load(marks) {
  const images = [marks.map, ...(marks.found ?? []).map((mark) => mark.mask)].filter(Boolean);
  await Promise.all(images.map(async (one) => {
    one.loaded = new Image();
    one.loaded.src = one.image;
    await one.loaded.decode();
  }));
}

/** Those with the least score or more. */
export const above = (marks, least) => (marks.found ?? []).filter((mark) => mark.score >= least);

/**
 * Draws into a canvas of this width, in CSS pixels. picture: what can be drawn, or null where the browser cannot show
 * it; size: its own; chosen: a mark that the others step back behind.
 */
export function draw(canvas, picture, size, marks, least, chosen, width) {
  const scale = width / size.width, height = Math.max(1, Math.round(size.height * scale));
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.imageSmoothingQuality = "high";
  if (picture) {
    pen.drawImage(picture, 0, 0, width, height);
  } else {
    pen.fillStyle = "#8a8d92";
    pen.fillRect(0, 0, width, height);
  }
  if (marks.map?.loaded) {
    pen.imageSmoothingEnabled = false;
    pen.drawImage(marks.map.loaded, 0, 0, width, height);
    pen.imageSmoothingEnabled = true;
  }
  const drawn = above(marks, least).reverse(); // the highest score on top
  const faint = (mark) => (chosen && mark !== chosen ? 0.25 : 1);
  for (const mark of drawn) {
    pen.globalAlpha = faint(mark);
    if (mark.mask) drawMask(pen, mark, width, height);
  }
  for (const mark of drawn) {
    pen.globalAlpha = faint(mark);
    drawBox(pen, mark, width, height);
    if (mark.points) drawPoints(pen, mark, least, width, height);
  }
  const taken = [], boxes = drawn.map((mark) => rectangle(mark.box, width, height));
  const named = drawn.slice(-NAMED).reverse();
  if (chosen && drawn.includes(chosen) && !named.includes(chosen)) named.push(chosen);
  for (const mark of named) {
    pen.globalAlpha = faint(mark);
    drawLabel(pen, mark, width, height, boxes, taken);
  }
  pen.globalAlpha = 1;
}

const rectangle = ([left, top, right, bottom], width, height) =>
  ({ x: left * width, y: top * height, width: (right - left) * width, height: (bottom - top) * height });

function drawBox(pen, mark, width, height) {
  const box = rectangle(mark.box, width, height);
  for (const [line, colour] of [[4.5, "rgb(0 0 0 / 45%)"], [2.5, mark.colour]]) {
    pen.lineWidth = line;
    pen.strokeStyle = colour;
    pen.strokeRect(box.x + 1.25, box.y + 1.25, Math.max(1, box.width - 2.5), Math.max(1, box.height - 2.5));
  }
}

/** A mask is where its share is half or more, seen at the size of the picture. */
function drawMask(pen, mark, width, height) {
  const box = rectangle(mark.mask.box, width, height);
  const wide = Math.round(box.width), high = Math.round(box.height);
  if (!(wide > 0 && high > 0 && wide * high < 3e7)) return;
  if (mark.mask.cut?.width !== wide || mark.mask.cut?.height !== high) mark.mask.cut = cutMask(mark, wide, high);
  pen.drawImage(mark.mask.cut, box.x, box.y, box.width, box.height);
}

function cutMask(mark, wide, high) {
  const canvas = document.createElement("canvas");
  canvas.width = wide;
  canvas.height = high;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(mark.mask.loaded, 0, 0, wide, high);
  const image = pen.getImageData(0, 0, wide, high), colour = parseInt(mark.colour.slice(1), 16);
  for (let i = 0; i < image.data.length; i += 4) {
    const inside = image.data[i] >= 128;
    image.data[i] = colour >> 16;
    image.data[i + 1] = (colour >> 8) & 255;
    image.data[i + 2] = colour & 255;
    image.data[i + 3] = inside ? 255 * OPACITY : 0;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

function drawPoints(pen, mark, least, width, height) {
  const points = mark.points.map((point) => (point && point[2] >= least ? [point[0] * width, point[1] * height] : null));
  pen.lineCap = "round";
  for (const [from, to] of mark.lines ?? []) {
    if (!points[from] || !points[to]) continue;
    for (const [line, colour] of [[5, "rgb(0 0 0 / 45%)"], [3, mark.colour]]) {
      pen.lineWidth = line;
      pen.strokeStyle = colour;
      pen.beginPath();
      pen.moveTo(...points[from]);
      pen.lineTo(...points[to]);
      pen.stroke();
    }
  }
  for (const point of points.filter(Boolean)) {
    pen.beginPath();
    pen.arc(...point, 4, 0, 2 * Math.PI);
    pen.fillStyle = mark.colour;
    pen.fill();
    pen.lineWidth = 1.5;
    pen.strokeStyle = "#fff";
    pen.stroke();
  }
}

function drawLabel(pen, mark, width, height, boxes, taken) {
  pen.font = FONT;
  const score = mark.score.toFixed(2), room = width - 2 * LABEL.pad;
  const text = fitted(pen, shown(mark.label), `  ${score}`, room);
  const size = { width: Math.min(width, pen.measureText(text).width + 2 * LABEL.pad), height: LABEL.height };
  const place = placeOf(rectangle(mark.box, width, height), size, width, height, boxes, taken);
  taken.push(place);
  pen.fillStyle = mark.colour;
  pen.fillRect(place.x, place.y, place.width, place.height);
  pen.fillStyle = inkOn(mark.colour);
  pen.textBaseline = "middle";
  pen.fillText(text, place.x + LABEL.pad, place.y + place.height / 2 + 0.5);
}

/** A name too long loses its end, the score stays. */
function fitted(pen, name, end, room) {
  if (pen.measureText(name + end).width <= room) return name + end;
  let letters = [...name];
  while (letters.length && pen.measureText(`${letters.join("")}…${end}`).width > room) letters = letters.slice(0, -1);
  return `${letters.join("")}…${end}`;
}

/** Where a name hides least: outside its box if it can be, off other names and boxes, inside the picture. */
function placeOf(box, size, width, height, boxes, taken) {
  const right = box.x + box.width, bottom = box.y + box.height;
  const wanted = [
    [box.x, box.y - size.height], [right - size.width, box.y - size.height], [box.x, bottom], [right - size.width, bottom],
    [right, box.y], [box.x - size.width, box.y], [box.x + 3, box.y + 3],
  ];
  let best = null, least = Infinity;
  wanted.forEach(([x, y], rank) => {
    const place = { x: clamp(x, width - size.width), y: clamp(y, height - size.height), ...size };
    const hidden = sum(boxes, place) + 6 * sum(taken, place);
    const cost = hidden / (size.width * size.height) + 0.02 * rank;
    if (cost < least) [best, least] = [place, cost];
  });
  return best;
}

const clamp = (value, most) => Math.max(0, Math.min(value, most));
const sum = (others, place) => others.reduce((total, other) => total + overlap(place, other), 0);
const overlap = (a, b) =>
  Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) *
  Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));

/** Black or white, whichever stands out more (relative luminance, WCAG 2.2). */
function inkOn(colour) {
  const value = parseInt(colour.slice(1), 16);
  const [red, green, blue] = [value >> 16, (value >> 8) & 255, value & 255].map((c) => {
    const share = c / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}

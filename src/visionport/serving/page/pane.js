// One model's answer to the picture: the drawing, the times, and what was found as a list.

import { above, draw } from "./drawing.js";
import { element, milliseconds, plural, shown } from "./elements.js";

const LISTED = 100; // rows of a list
const KEPT = 50; // answers whose times count

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

export class Pane {
  constructor(target) {
    this.target = target;
    this.times = [];
    this.answer = this.picture = this.chosen = null;
    this.canvas = element("canvas", { role: "img" });
    this.figure = element("figure", {}, this.canvas);
    this.note = element("p", { class: "note", hidden: true });
    this.trouble = element("p", { class: "alert", hidden: true });
    this.timing = element("div", { class: "timing" });
    this.found = element("div", { class: "found" });
    const { version } = target;
    const title = `${version.title}, version ${version.version}`;
    this.root = element(
      "article", { class: "pane" },
      element("h3", {}, shown(target.text), " ", element("span", { class: "note" }, shown(title))),
      this.figure, this.note, this.trouble, this.timing, this.found,
    );
    this.figure.hidden = true;
    new ResizeObserver(() => { if (this.figure.clientWidth !== this.width) this.draw(); }).observe(this.figure);
  }

  /** Takes an answer to a picture. Times are kept together of one picture, and of all that a camera shows. */
  show(picture, answer, least) {
    if (picture !== this.picture && !picture.live) this.times = [];
    const { width, height } = answer.answer;
    this.picture = picture;
    this.answer = answer;
    this.least = least;
    this.chosen = null;
    this.times = [...this.times, { round: answer.round, ...answer.milliseconds }].slice(-KEPT);
    this.drawable = picture.width === width && picture.height === height ? picture.shown : null;
    this.trouble.hidden = true;
    this.note.hidden = Boolean(this.drawable);
    this.note.textContent = this.drawable ? "" : "This browser does not show the picture as the model sees it; its answer stands alone.";
    this.figure.hidden = this.timing.hidden = this.found.hidden = false;
    this.list();
    this.draw();
  }

  refuse(sentence) {
    this.answer = null;
    this.figure.hidden = this.timing.hidden = this.found.hidden = this.note.hidden = true;
    this.trouble.hidden = false;
    this.trouble.textContent = shown(sentence);
  }

  filter(least) {
    this.least = least;
    if (!this.answer) return;
    this.list();
    this.draw();
  }

  draw() {
    const width = this.width = this.figure.clientWidth;
    if (!this.answer || !width) return;
    const { marks, answer } = this.answer;
    const wide = Math.min(width, Math.max(160, Math.round(560 * answer.width / answer.height)));
    this.canvas.style.width = `${wide}px`;
    draw(this.canvas, this.drawable, answer, marks, this.least, this.chosen, wide);
  }

  /** The time of the median answer, in parts. most: of all panes, which fills the whole width. */
  time(most) {
    const parts = this.median();
    if (!parts) return;
    const named = [["decode", "Decode", parts.decode], ["run", "Run", parts.run], ["rest", "Network and rest", parts.rest]];
    const bar = element("div", { class: "times", "aria-hidden": "true" }, ...named.map(([name, , value]) => {
      const part = element("span", { class: name });
      part.style.width = `${100 * value / most}%`;
      return part;
    }));
    const entry = (name, title, value) => element("div", {}, element("dt", {}, element("span", { class: `key ${name}` }), title),
      element("dd", {}, milliseconds(value)));
    const later = this.times.length - 1;
    const note = later > 1 ? `Median of ${later} answers, without the first` : later ? "The second answer" : "The first answer may take longer";
    this.timing.replaceChildren(
      element("p", { class: "round" }, element("strong", {}, milliseconds(parts.round)), " ", element("span", { class: "note" }, `round trip. ${note}.`)),
      bar, element("dl", {}, ...named.map((row) => entry(...row))),
    );
  }

  median() {
    if (!this.answer) return null;
    const later = this.times.length > 1 ? this.times.slice(1) : this.times; // the first may have warmed up
    const of = (name) => median(later.map((time) => time[name]));
    const round = of("round"), decode = of("decode"), run = of("run");
    return { round, decode, run, rest: Math.max(0, round - decode - run) };
  }

  list() {
    const { marks } = this.answer;
    const content = [];
    if (marks.found) content.push(...this.listFound(above(marks, this.least)));
    if (marks.bars) content.push(this.listBars(marks.bars));
    if (marks.map) content.push(this.listMap(marks.map.classes));
    if (!content.length) content.push(element("pre", { tabIndex: 0 }, JSON.stringify(this.answer.answer, null, 1)));
    this.found.replaceChildren(...content);
    this.canvas.setAttribute("aria-label", `The picture with the answer of ${shown(this.target.text)}: ${this.summary()}`);
  }

  listFound(rows) {
    const button = (mark) => element(
      "button", {
        type: "button", class: "row", "aria-pressed": "false",
        onmouseenter: () => this.choose(mark), onmouseleave: () => this.choose(null),
        onfocus: () => this.choose(mark), onblur: () => this.choose(null),
      },
      swatch(mark.colour), element("span", { class: "name" }, shown(mark.label)), element("span", { class: "number" }, mark.score.toFixed(3)),
    );
    const list = element("ul", { class: "rows" }, ...rows.slice(0, LISTED).map((mark) => element("li", {}, button(mark))));
    return [element("p", { class: "count" }, this.summary()), rows.length ? list : null].filter(Boolean);
  }

  listBars(rows) {
    return element("ul", { class: "bars" }, ...rows.map((mark) => {
      const bar = element("span", { class: "fill" });
      bar.style.width = `${100 * Math.min(1, Math.max(0, mark.score))}%`;
      bar.style.background = mark.colour;
      return element("li", { class: mark.score < this.least ? "faint" : "" }, element("span", { class: "name" }, shown(mark.label)),
        element("span", { class: "track" }, bar), element("span", { class: "number" }, mark.score.toFixed(3)));
    }));
  }

  listMap(rows) {
    const share = (value) => (value >= 0.01 ? `${Math.round(100 * value)} %` : "<1 %");
    return element("ul", { class: "rows" }, ...rows.slice(0, LISTED).map((mark) => element("li", {}, element("span", { class: "row" },
      swatch(mark.colour), element("span", { class: "name" }, shown(mark.label)), element("span", { class: "number" }, share(mark.share))))));
  }

  choose(mark) {
    this.chosen = mark;
    this.draw();
  }

  /** What was found, in a few words. */
  summary() {
    const { marks, answer } = this.answer;
    if (marks.found) return plural(above(marks, this.least).length, "detection");
    if (marks.bars) return marks.bars.length ? `${shown(marks.bars[0].label)} ${marks.bars[0].score.toFixed(2)}` : "nothing";
    if (marks.map) return plural(marks.map.classes.length, "class", "classes");
    return plural(Object.keys(answer).length, "field");
  }
}

function swatch(colour) {
  const made = element("span", { class: "swatch", "aria-hidden": "true" });
  made.style.background = colour;
  return made;
}

// What a model has answered, so that it can be read at a glance.

import { el, say, svg } from "./dom.js";
import { element, number, percent } from "./numbers.js";
import { timingInWords } from "./request.js";

const MOST_ROWS = 3;
const MOST_BARS = 5;
const MOST_PLAIN = 8;
const MOST_COLUMNS = 192;

// An area that shows answers; its status line is read aloud, the rest is for looking.
export function answerArea() {
  const status = el("p", { class: "said", role: "status" });
  const shown = el("div", { class: "outputs" });
  const timing = el("p", { class: "timing" });
  const area = el("div", { class: "answer" }, status, shown, timing);

  return {
    area,
    waiting() {
      area.dataset.state = "waiting";
    },
    failed(error) {
      area.dataset.state = "failed";
      say(status, error);
      shown.replaceChildren();
      say(timing, "");
    },
    show(model, reply) {
      area.dataset.state = "done";
      say(status, sentence(model, reply.outputs));
      shown.replaceChildren(...reply.outputs.map((output) => outputView(model, output)));
      say(timing, timingInWords(reply.timing, reply.tookS));
    },
  };
}

function specOf(model, output) {
  return model.outputs.find((spec) => spec.name === output.name) ?? {};
}

function rowsOf(model, output) {
  const rows = model.has_rows ? output.shape[0] : 1;
  const data = output.data ?? [];
  const size = rows ? data.length / rows : 0;
  return Array.from({ length: Math.min(rows, MOST_ROWS) }, (_, row) =>
    data.slice(row * size, (row + 1) * size));
}

function isShares(row) {
  const sum = row.reduce((total, value) => total + value, 0);
  return row.length > 1 && row.every((value) => value >= -1e-6 && value <= 1 + 1e-6) &&
    Math.abs(sum - 1) < 0.01;
}

function best(row, labels, count) {
  return row
    .map((value, index) => ({ value, name: labels[index] ?? String(index) }))
    .sort((one, other) => other.value - one.value)
    .slice(0, count);
}

// The answer in one sentence, for those who hear the page.
function sentence(model, outputs) {
  // What is one value says most.
  const single = (output) => output.data?.length === 1;
  const said = outputs.toSorted((one, other) => single(other) - single(one)).map((output) => {
    if (!output.data) return `${output.name}: ${output.bytes} bytes`;
    const [row] = rowsOf(model, output);
    if (!row) return `${output.name}: no rows`;
    if (row.length === 1) return `${output.name}: ${element(row[0])}`;
    if (output.datatype === "BYTES") return `${output.name}: ${row.slice(0, 3).join(", ")}`;
    if (isShares(row)) {
      const [top] = best(row, specOf(model, output).labels ?? [], 1);
      return `${output.name}: ${top.name} with ${percent(top.value)}`;
    }
    return `${output.name}: ${number(row.length)} numbers`;
  });
  return said.join("; ");
}

function outputView(model, output) {
  const title = el("h4", {}, output.name, " ",
    el("span", { class: "kind" }, `${output.datatype} [${output.shape.join(", ")}]`));
  if (!output.data) return el("div", { class: "output" }, title, el("p", {}, `${output.bytes} bytes`));
  const rows = rowsOf(model, output);
  const all = model.has_rows ? output.shape[0] : 1;
  const more = all > rows.length ? el("p", { class: "quiet" }, `and ${number(all - rows.length)} rows more`) : null;
  const labels = specOf(model, output).labels ?? [];
  return el("div", { class: "output" }, title, rows.map((row) => rowView(output, row, labels)), more);
}

function rowView(output, row, labels) {
  if (!row.length) return el("p", { class: "quiet" }, "nothing");
  if (row.length === 1) return el("p", { class: "single" }, element(row[0]));
  if (typeof row[0] !== "number") {
    return el("p", { class: "mono" }, row.slice(0, 20).map(element).join(", "));
  }
  if (isShares(row) || labels.length === row.length) return bars(row, labels);
  if (row.length <= MOST_PLAIN) return el("p", { class: "mono" }, row.map(element).join(", "));
  return vector(output, row);
}

function bars(row, labels) {
  const shares = isShares(row);
  const top = best(row, labels, MOST_BARS);
  const least = shares ? 0 : Math.min(0, ...row);
  const most = shares ? 1 : top[0].value;
  return el("ol", { class: "bars" }, top.map(({ value, name }) => {
    const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("span"));
    bar.firstChild.style.width = `${(100 * (value - least)) / (most - least || 1)}%`;
    return el("li", {}, el("span", { class: "label" }, name), bar,
      el("span", { class: "value" }, shares ? percent(value) : element(value)));
  }));
}

function vector(output, row) {
  const finite = row.filter(Number.isFinite);
  const low = Math.min(...finite.slice(0, 1e5), 0);
  const high = Math.max(...finite.slice(0, 1e5), 0);
  const span = high - low || 1;
  const columns = Math.min(row.length, MOST_COLUMNS);
  const y = (value) => (60 * (high - value)) / span;
  let path = "";
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((column * row.length) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * row.length) / columns));
    const part = row.slice(from, to).filter(Number.isFinite);
    const [bottom, top] = [Math.min(0, ...part), Math.max(0, ...part)];
    path += `M${column + 0.5} ${y(top).toFixed(2)}V${y(bottom).toFixed(2)}`;
  }
  const length = Math.hypot(...finite.slice(0, 1e5));
  const words = `${number(row.length)} numbers from ${element(Math.min(...finite.slice(0, 1e5)))} to ` +
    `${element(Math.max(...finite.slice(0, 1e5)))}; as a vector ${element(length)} long`;
  return el("figure", { class: "vector" },
    svg("svg", { viewBox: `0 0 ${columns} 60`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${output.name}: ${words}` },
    svg("path", { d: `M0 ${y(0)}H${columns}`, class: "zero" }),
    svg("path", { d: path, class: "spikes" })),
    el("figcaption", {}, words));
}

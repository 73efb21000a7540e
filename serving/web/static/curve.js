// What a row costs in batches of so many: measured points, the cost model's line, the choice.

import { el, svg } from "./dom.js";
import { duration, number, plural } from "./numbers.js";

// As wide as it is shown, about, so that its words are as large as all others.
const narrow = matchMedia("(max-width: 34rem)");
const HEIGHT = 230;
const LEFT = 62;
const RIGHT = 20;
const TOP = 22;
const BOTTOM = 40;

export function costSection(model) {
  const { curve } = model;
  let picture = drawing(model);
  narrow.addEventListener("change", () => {
    const other = drawing(model);
    picture.replaceWith(other);
    picture = other;
  });
  return el("section", { class: "cost" },
    el("h3", {}, "What a batch costs"),
    el("p", { class: "says" }, `${capital(curve.says)}.`),
    picture,
    el("details", {},
      el("summary", {}, "The numbers, and how they were found"),
      el("p", {}, `${capital(model.proof)}. ${capital(model.threads)}.`),
      el("p", { class: "mono" }, formula(curve)),
      table(curve)));
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function predicted(curve, rows, length) {
  const [c0, c1, c2, c3] = curve.coefficients;
  return c0 + rows * (c1 + c2 * length + c3 * length * length);
}

function formula(curve) {
  const terms = ["", " × rows", " × rows × length", " × rows × length²"];
  const parts = curve.coefficients
    .map((value, index) => (value ? `${duration(value)}${terms[index]}` : null))
    .filter(Boolean);
  return `a run takes ${parts.join(" + ")}, within ${Math.round(curve.error * 100)} %`;
}

function drawing(model) {
  const { curve } = model;
  const wide = narrow.matches ? 350 : 560;
  const lengths = [...new Set(curve.samples.map((sample) => sample.length))];
  const chosen = model.batches ? curve.chosen : [];
  const rows = curve.samples.map((sample) => sample.rows).concat(chosen.map((one) => one.rows));
  const most = Math.max(...rows, 2);
  const costs = curve.samples.map((sample) => sample.seconds / sample.rows);
  const high = Math.max(...costs) * 1.22;
  // One length: from zero, so that heights can be compared. Several lie decades apart.
  const decades = lengths.length > 1;
  const low = decades ? Math.min(...costs) / 1.5 : 0;
  const x = (count) => LEFT + ((wide - LEFT - RIGHT) * Math.log2(count)) / Math.log2(most);
  const y = (cost) => {
    const share = decades
      ? Math.log(Math.max(cost, low) / low) / Math.log((high * 1.4) / low)
      : cost / high;
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * Math.min(1, share);
  };
  const said = `A row's cost by the rows of its batch. ${capital(curve.says)}.`;
  const picture = svg("svg", { viewBox: `0 0 ${wide} ${HEIGHT}`, role: "img", "aria-label": said });

  for (const cost of ticks(low, high, decades)) {
    picture.append(
      svg("path", { class: "grid", d: `M${LEFT} ${y(cost)}H${wide - RIGHT}` }),
      svg("text", { x: LEFT - 8, y: y(cost) + 4, class: "tick end" }, cost ? duration(cost) : "0"));
  }
  for (let count = 1; count <= most; count *= 2) {
    if (most > 64 && Math.log2(count) % 2 && count * 2 <= most) continue;
    picture.append(svg("text", { x: x(count), y: HEIGHT - 20, class: "tick middle" }, number(count)));
  }
  picture.append(
    svg("text", { x: (LEFT + wide - RIGHT) / 2, y: HEIGHT - 4, class: "axis middle" }, "rows in the batch"),
    svg("text", { x: 4, y: 11, class: "axis" }, "cost of a row"));

  lengths.forEach((length, index) => {
    const points = curve.samples.filter((sample) => sample.length === length);
    const end = Math.max(...points.map((point) => point.rows),
      ...chosen.filter((one) => one.length === length).map((one) => one.rows));
    const line = [];
    for (let step = 0; step <= 60; step += 1) {
      const count = 2 ** ((Math.log2(end) * step) / 60);
      line.push(`${x(count).toFixed(1)} ${y(predicted(curve, count, length) / count).toFixed(1)}`);
    }
    picture.append(svg("path", { class: `line tone-${index % 5}`, d: `M${line.join("L")}` }));
    for (const point of points) {
      picture.append(svg("circle", { class: `dot tone-${index % 5}`, r: 3.5,
        cx: x(point.rows), cy: y(point.seconds / point.rows) }));
    }
    if (decades && points.length) {
      const first = points[0];
      picture.append(svg("text", { class: "name", x: x(first.rows) + 7,
        y: y(first.seconds / first.rows) - 6 }, `length ${length}`));
    }
  });
  for (const one of chosen) {
    const [cx, cy] = [x(one.rows), y(predicted(curve, one.rows, one.length) / one.rows)];
    picture.append(svg("circle", { class: "ring", r: 7, cx, cy }));
    if (!decades) {
      const [first, last] = [cx < LEFT + 60, cx > wide - 150];
      const side = first ? "" : last ? "end" : "middle";
      picture.append(svg("text", { class: `name ${side}`, y: cy - 14,
        x: first ? cx - 4 : last ? Math.min(cx + 8, wide - RIGHT) : cx },
      one.rows > 1 ? `chosen: ${plural(one.rows, "row")}` : "chosen: 1 row"));
    }
  }
  const rings = chosen.length ? ", ringed where it is chosen" : "";
  return el("figure", { class: "curve" }, picture,
    el("figcaption", {}, `Dots are measured on this machine at start; the line is the cost model${rings}.`));
}

function ticks(low, high, decades) {
  if (decades) {
    const found = [];
    for (let power = Math.ceil(Math.log10(low)); 10 ** power <= high * 1.4; power += 1) {
      found.push(10 ** power);
    }
    return found;
  }
  const rough = high / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((times) => times * unit >= rough) * unit;
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => index * step);
}

function table(curve) {
  const lengths = [...new Set(curve.samples.map((sample) => sample.length))];
  const moving = lengths.length > 1 || lengths[0] > 0;
  const rows = curve.samples.map((sample) => el("tr", {},
    el("th", { scope: "row" }, number(sample.rows)),
    moving ? el("td", {}, number(sample.length)) : null,
    el("td", {}, duration(sample.seconds)),
    el("td", {}, duration(sample.seconds / sample.rows))));
  return el("table", {},
    el("caption", { class: "unseen" }, "What was measured"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "rows"),
      moving ? el("th", { scope: "col" }, "length") : null,
      el("th", { scope: "col" }, "a run"), el("th", { scope: "col" }, "a row"))),
    el("tbody", {}, rows));
}

// How a model fares now: numbers that are set once a second.

import { el, say, svg } from "./dom.js";
import { duration, number, plural } from "./numbers.js";

const SECONDS = 60;

const REFUSALS = {
  queue_full: "the queue was full",
  too_late: "it would have been late",
  too_many_rows: "more rows than may wait",
  draining: "the server was stopping",
  deadline_exceeded: "its time ran out",
  invalid: "the request was wrong",
  unsupported_encoding: "its encoding is not known",
  body_too_large: "its body was too large",
  not_ready: "the model was not ready",
  pipeline_failed: "its pipeline failed",
  run_failed: "the run failed",
  internal: "an error of ours",
};

export function liveSection() {
  const rate = tile("Answers a second");
  const trace = svg("path", { class: "trace" });
  rate.node.append(svg("svg", { viewBox: `0 0 ${SECONDS} 20`, preserveAspectRatio: "none",
    class: "spark", "aria-hidden": "true" }, trace));
  const latency = tile("Time to an answer (p50)");
  const queue = tile("In the queue");
  const size = tile("Rows in a batch");
  const histogram = el("ol", { class: "columns" });
  size.node.append(histogram);
  const refused = tile("Refused");
  refused.node.classList.add("wide");
  const when = el("p", { class: "quiet" });
  const rates = new Array(SECONDS).fill(0);
  const node = el("section", { class: "live" }, el("h3", {}, "Right now"),
    el("div", { class: "tiles" }, rate.node, latency.node, size.node, queue.node, refused.node), when);

  function show(model, windowS) {
    const { total, lately, a_second: aSecond, now } = model;
    node.hidden = !total;
    if (!total) return;
    rates.push(aSecond.answers);
    rates.shift();
    rate.set(number(aSecond.answers), `${plural(total.success, "request")} since it was loaded`);
    const most = Math.max(1, ...rates);
    trace.setAttribute("d", `M${rates.map((value, at) => `${at} ${(19 - (18 * value) / most).toFixed(2)}`).join("L")}`);

    const quiet = !lately.batches.length;
    const from = quiet ? total : lately;
    const { p50, p95, p99 } = from.latency_s;
    if (p50 === null) latency.set("–", "nothing has been asked yet");
    else latency.set(duration(p50), `p95 ${duration(p95)}, p99 ${duration(p99)}`);
    const batches = from.batches.reduce((sum, [, count]) => sum + count, 0);
    const common = from.batches.reduce((best, one) => (one[1] > best[1] ? one : best), [0, 0]);
    size.set(batches ? range(common[0]) : "–", batches ? `mostly, of ${plural(batches, "batch").replace("batchs", "batches")}` : "no batch has left yet");
    columns(histogram, from.batches);
    queue.set(plural(now.queue_rows, "row"), `${plural(now.riding_rows, "row")} running; a new one is answered in about ${duration(now.predicted_wait_s)}`);
    refusals(refused, total);
    say(when, quiet && p50 !== null
      ? `Nothing in the last ${windowS} s: times and batches are of all since it was loaded.`
      : quiet ? "" : `Times and batches are of the last ${windowS} s.`);
  }
  return { node, show };
}

function tile(label) {
  const value = el("span", { class: "figure" }, "–");
  const more = el("span", { class: "more" });
  const node = el("div", { class: "tile" }, el("h4", {}, label), value, more);
  return {
    node,
    set(text, rest) {
      say(value, text);
      say(more, rest);
    },
  };
}

function range(upTo) {
  return upTo <= 2 ? String(upTo) : `${upTo / 2 + 1} – ${upTo}`;
}

function columns(list, batches) {
  const most = Math.max(...batches.map(([, count]) => count), 1);
  while (list.children.length > batches.length) list.lastChild.remove();
  batches.forEach(([upTo, count], index) => {
    if (!list.children[index]) {
      list.append(el("li", {}, el("span", { class: "column" }), el("span", { class: "unseen" }), el("span", { class: "foot", "aria-hidden": "true" })));
    }
    const [column, words, foot] = list.children[index].children;
    column.style.height = `${Math.max(4, (100 * count) / most)}%`;
    say(words, `${range(upTo)} rows: ${number(count)} batches`);
    say(foot, upTo <= 2 ? String(upTo) : `≤${upTo}`);
    list.children[index].title = words.textContent;
  });
}

function refusals(refused, total) {
  const reasons = Object.entries(total.refused).sort((one, other) => other[1] - one[1]);
  if (total.run_failed) reasons.push(["run_failed", total.run_failed]);
  const all = reasons.reduce((sum, [, count]) => sum + count, 0);
  const left = total.left ? `; ${plural(total.left, "caller")} left before the answer` : "";
  const why = reasons.map(([reason, count]) => `${number(count)} because ${REFUSALS[reason] ?? reason}`).join(", ");
  refused.set(number(all), (all ? why : "nobody, since it was loaded") + left);
}

// The page: which models there are, and the stream that keeps their numbers fresh.

import { el, say } from "./dom.js";
import { follow } from "./live.js";
import { anchor, modelCard } from "./model.js";
import { plural } from "./numbers.js";
import { BASE } from "./request.js";

const main = document.getElementById("models");
const state = document.getElementById("state");
const contents = document.getElementById("contents");
const links = document.getElementById("links");
const footer = document.getElementById("footer");

// Cards that are there, by name and version, each with what it was made from.
const cards = new Map();
let asking = null;

function keyOf(model) {
  return JSON.stringify([model.name, model.version]);
}

function markOf(model) {
  return JSON.stringify([model.mark, model.state, model.reason]);
}

async function refresh() {
  const reply = await fetch(`${BASE}/web/models`);
  if (!reply.ok) throw new Error((await reply.json()).error);
  const { models, metrics, version } = await reply.json();
  const wanted = new Set(models.map(keyOf));
  for (const [key, { card }] of cards) {
    if (wanted.has(key)) continue;
    card.remove();
    cards.delete(key);
  }
  main.querySelectorAll(".empty").forEach((node) => node.remove());
  models.forEach((model, index) => {
    const old = cards.get(keyOf(model));
    let now = old;
    if (old?.mark !== markOf(model)) {
      now = { ...modelCard(model), mark: markOf(model) };
      cards.set(keyOf(model), now);
      old?.card.replaceWith(now.card);
    }
    if (main.children[index] !== now.card) main.insertBefore(now.card, main.children[index] ?? null);
  });
  if (!models.length) {
    main.append(el("p", { class: "empty" }, "No model is served here now. Start the server with one, as in ",
      el("code", {}, "jitney serve model.onnx"), ", or load one from its folder."));
  }
  contents.hidden = models.length < 2;
  contents.replaceChildren(...models.map((model) =>
    el("a", { href: `#${anchor(model)}` }, model.newest === false ? `${model.name} ${model.version}` : model.name)));
  if (metrics && !document.getElementById("metrics")) {
    links.append(el("a", { href: "metrics", id: "metrics" }, "Metrics"));
  }
  say(footer, `Jitney ${version}`);
}

function told(report) {
  const ready = report.models.filter((model) => model.state === "READY").length;
  state.dataset.state = report.ready ? "ready" : "waiting";
  say(state, report.ready
    ? `Ready: ${plural(ready, "model")}${processes(report)}`
    : `Not ready: ${report.why}`);
  const same = report.models.length === cards.size &&
    report.models.every((model) => cards.get(keyOf(model))?.mark === markOf(model));
  if (!same && !asking) {
    asking = refresh().then(() => numbers(report)).catch(() => {}).finally(() => {
      asking = null;
    });
  }
  numbers(report);
}

// Only where there are several; and how many are missing, whose numbers stand still.
function processes({ processes: there, of_processes: all }) {
  if (there === null) return "";
  return there === all ? ` in ${all} processes` : `; only ${there} of ${all} processes answer`;
}

function numbers(report) {
  for (const model of report.models) cards.get(keyOf(model))?.show(model, report.window_s);
}

follow(told, (words) => {
  state.dataset.state = "lost";
  say(state, words);
});

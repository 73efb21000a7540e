// One model's part of the page.

import { costSection } from "./curve.js";
import { el } from "./dom.js";
import { liveSection } from "./gauges.js";
import { trialSection } from "./trial.js";

const STATES = {
  READY: "ready",
  LOADING: "loading",
  UNLOADING: "unloading",
  UNAVAILABLE: "not available",
};

export function modelCard(model) {
  const heading = el("h2", { tabindex: "-1" }, model.name, " ",
    el("span", { class: "version" }, `version ${model.version}`));
  const head = el("header", {},
    el("div", { class: "title" }, heading,
      el("span", { class: `pill ${model.state.toLowerCase()}` }, STATES[model.state] ?? model.state)),
    model.description ? el("p", { class: "description" }, model.description) : null,
    model.reason ? el("p", { class: "reason" }, `${model.reason}.`) : null);
  const card = el("article", { class: "model", id: anchor(model) }, head);
  if (model.state !== "READY") {
    return { card, show() {} };
  }
  head.append(el("dl", { class: "signature" }, tensors("takes", model.inputs), tensors("gives", model.outputs)));
  const live = liveSection();
  card.append(el("div", { class: "parts" }, trialSection(model),
    el("div", { class: "side" }, live.node, costSection(model))));
  return { card, show: live.show };
}

function tensors(word, specs) {
  return el("div", {}, el("dt", {}, word), specs.map((spec) =>
    el("dd", {}, el("b", {}, spec.name), " ", el("span", {}, spec.says))));
}

export function anchor(model) {
  return `model-${encodeURIComponent(model.name)}-${model.version}`;
}

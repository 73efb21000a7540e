// A request as JSON, filled in with the model's example. Every model takes it.

import { el, field } from "./dom.js";

export function jsonForm(model, changed) {
  const text = el("textarea", { rows: "9", spellcheck: "false", class: "mono", autocomplete: "off" });
  text.value = pretty(model.example);
  text.addEventListener("input", changed);
  const again = el("button", { type: "button", class: "plain" }, "The example again");
  again.addEventListener("click", () => {
    text.value = pretty(model.example);
    changed();
  });
  return {
    name: "JSON",
    panel: el("div", {}, field("The request", text), el("p", { class: "quiet" }, takes(model))),
    extra: [again],
    // Throws with words for the person who typed it.
    request() {
      let request;
      try {
        request = JSON.parse(text.value);
      } catch (error) {
        throw new Error(`This is not JSON: ${error.message}.`);
      }
      const whole = Array.isArray(request?.inputs) && request.inputs.every((input) =>
        input && typeof input.name === "string" && Array.isArray(input.shape) && Array.isArray(input.data));
      if (!whole) throw new Error("A request has “inputs”, each with a name, a datatype, a shape and data.");
      return { request, text: text.value };
    },
  };
}

function takes(model) {
  return model.inputs.map((input) => `${input.name} takes ${input.says}`).join("; ");
}

// Indented, but each list of numbers on one line.
export function pretty(request) {
  return JSON.stringify(request, null, 1)
    .replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, inner) => `[${inner.replace(/\s*\n\s*/g, " ")}]`);
}

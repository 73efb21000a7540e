// A text, and nothing around it.

import { el, field } from "./dom.js";

export function textForm(model, changed) {
  const [input] = model.example.inputs;
  const text = el("textarea", { rows: "3", class: "sentence" });
  text.value = input.data[0];
  text.addEventListener("input", changed);
  return {
    name: "Text",
    panel: el("div", {}, field(`Text for ${input.name}`, text)),
    submitsOnEnter: text,
    request() {
      return { request: { ...model.example, inputs: [{ ...input, data: [text.value] }] } };
    },
  };
}

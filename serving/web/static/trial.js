// Trying a model: a form, its answer, and the same call from elsewhere.

import { answerArea } from "./answer.js";
import { drawForm } from "./draw.js";
import { el } from "./dom.js";
import { fileForm } from "./file.js";
import { jsonForm } from "./json.js";
import { run } from "./request.js";
import { snippetArea } from "./snippets.js";
import { tabs } from "./tabs.js";
import { textForm } from "./text.js";

const FORMS = { draw: drawForm, file: fileForm, text: textForm };

export function trialSection(model) {
  const answer = answerArea();
  const snippets = snippetArea(model);
  let running = 0;
  let current = null;

  // What would be sent now, also in the calls from elsewhere.
  function changed() {
    try {
      const { request, text } = current.request();
      snippets.show(request, text);
    } catch {
      // Half-typed JSON: the calls stay those of what was typed before.
    }
  }

  async function submit() {
    let sent;
    try {
      sent = current.request();
    } catch (error) {
      answer.failed(error.message);
      return;
    }
    running += 1;
    const mine = running;
    answer.waiting();
    const reply = await run(model, sent.request, sent.text);
    if (mine !== running) return; // a later one is under way
    if (reply.error) answer.failed(reply.error);
    else answer.show(model, reply);
  }

  const kinds = [FORMS[model.form.kind], jsonForm].filter(Boolean);
  const forms = kinds.map((make) => make(model, () => current && changed(), submit));
  [current] = forms;
  const extras = el("span", { class: "extras" });
  const asked = (name) => {
    current = forms.find((form) => form.name === name);
    extras.replaceChildren(...(current.extra ?? []));
    changed();
  };
  const panels = forms.map((form) => [form.name, el("div", {}, form.panel)]);
  let fields;
  if (panels.length > 1) fields = tabs(`How to ask ${model.name}`, panels, asked);
  else {
    [[, fields]] = panels;
    asked(forms[0].name);
  }
  const form = el("form", { "aria-label": `Ask ${model.name}, version ${model.version}` }, fields,
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "go" }, "Ask"), extras));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  for (const one of forms) {
    one.submitsOnEnter?.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      submit();
    });
  }
  const why = model.form.says ? el("p", { class: "quiet" }, `As JSON, for ${model.form.says}.`) : null;
  return el("section", { class: "trial" }, el("h3", {}, "Try it"), why, form, answer.area, snippets.area);
}

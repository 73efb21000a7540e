// A row of tabs. Arrow keys go from one to the next, as the ARIA practices have it.

import { el, id } from "./dom.js";

// `panels`: pairs of a label and an element. `chosen` is called with the label.
export function tabs(label, panels, chosen = () => {}) {
  const list = el("div", { class: "tabs", role: "tablist", "aria-label": label });
  const buttons = panels.map(([name, panel]) => {
    panel.id ||= id("panel");
    const button = el("button", { type: "button", role: "tab", id: id("tab") }, name);
    button.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    button.addEventListener("click", () => select(name));
    list.append(button);
    return button;
  });

  function select(wanted) {
    panels.forEach(([name, panel], index) => {
      const on = name === wanted;
      buttons[index].setAttribute("aria-selected", String(on));
      buttons[index].tabIndex = on ? 0 : -1;
      panel.hidden = !on;
    });
    chosen(wanted);
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement) + step;
    const next = Number.isFinite(at)
      ? (at + buttons.length) % buttons.length
      : at < 0 ? 0 : buttons.length - 1;
    select(panels[next][0]);
    buttons[next].focus();
  });
  select(panels[0][0]);
  return el("div", {}, list, panels.map(([, panel]) => panel));
}

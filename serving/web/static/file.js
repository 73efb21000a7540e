// A file, dropped or chosen. Its bytes go to the server as they are.

import { el, id, say } from "./dom.js";
import { number } from "./numbers.js";

export function fileForm(model, changed, submit) {
  const [input] = model.example.inputs;
  const chooser = el("input", { type: "file", id: id("file") });
  const name = el("span", { class: "name" }, "No file yet: the model's own example is sent");
  const zone = el("label", { class: "drop", for: chooser.id },
    el("span", { class: "call" }, "Drop a file here, or choose one"), name);
  let file = null;

  function take(given) {
    file = given ?? null;
    say(name, file ? `${file.name}, ${size(file.size)}` : "No file yet: the model's own example is sent");
    changed();
    if (file) submit();
  }

  chooser.addEventListener("change", () => take(chooser.files[0]));
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.dataset.over = "yes";
    });
  }
  zone.addEventListener("dragleave", () => delete zone.dataset.over);
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    delete zone.dataset.over;
    take(event.dataTransfer.files[0]);
  });
  return {
    name: "File",
    panel: el("div", { class: "file" }, chooser, zone),
    request() {
      const data = file ? [file] : input.data;
      return { request: { ...model.example, inputs: [{ ...input, data }] } };
    },
  };
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 ** 2) return `${number(bytes / 1024)} KiB`;
  return `${number(bytes / 1024 ** 2)} MiB`;
}

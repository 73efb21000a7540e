// The same call from elsewhere: as curl, Python and jitney call. All of them run as they stand.

import { el, say } from "./dom.js";
import { BASE, fileOf, written } from "./request.js";
import { tabs } from "./tabs.js";

// Longer commands do not survive being pasted into a terminal.
const LONGEST = 3500;
const SAVED = "request.json";

// An area with the three; `show(request, text)` makes them anew.
export function snippetArea(model) {
  const panels = [["curl", curl], ["Python", python], ["jitney call", jitney]].map(([name, make]) => {
    const code = el("code");
    const pre = el("pre", { tabindex: "0", role: "group", "aria-label": `The call with ${name}` }, code);
    const told = el("span", { class: "told", role: "status" });
    const copy = el("button", { type: "button", class: "copy", "aria-label": `Copy the call with ${name}` }, "Copy");
    copy.addEventListener("click", async () => {
      say(told, (await copied(code)) ? "Copied" : "Marked: copy it by hand");
      setTimeout(() => say(told, ""), 2500);
    });
    return { name, make, code, panel: el("div", { class: "snippet" }, pre, el("div", { class: "copying" }, told, copy)) };
  });
  const save = el("a", { class: "save", download: SAVED, hidden: true }, `Save ${SAVED} first`);
  const area = el("div", { class: "calls" },
    el("h4", {}, "The same call"),
    tabs("The same call with", panels.map(({ name, panel }) => [name, panel])), save);

  return {
    area,
    show(request, text) {
      const json = fileOf(request) ? null : plain(request, text);
      const saved = json !== null && json.length > LONGEST;
      save.hidden = !saved;
      if (save.href) URL.revokeObjectURL(save.href);
      if (saved) save.href = URL.createObjectURL(new Blob([plain(request, text)], { type: "application/json" }));
      for (const { make, code } of panels) say(code, make(model, request, text, saved));
    },
  };
}

async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    // Browsers give the clipboard to pages over https or from this machine only.
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  }
}

// The request with its numbers as JSON, those of halves too. As it was typed where there are
// whole numbers too large for a browser to keep.
function plain(request, text) {
  return text && /\d{16}/.test(text) ? text : JSON.stringify(request);
}

export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function curl(model, request, text, saved) {
  const url = quoted(`${BASE}${model.path}/infer`);
  const file = fileOf(request);
  const { json, parts } = written(request);
  if (file) {
    // The JSON, the file's length in four bytes, the file.
    return `{ printf %s ${quoted(json)}; printf '${octal(parts[0])}'; cat ${quoted(local(file))}; } |\n` +
      `  curl -s ${url} -H 'Inference-Header-Content-Length: ${encoded(json)}' --data-binary @-`;
  }
  const output = request.outputs?.some((one) => one.parameters?.binary_data) ? " --output -" : "";
  if (parts.length) {
    // The JSON, and the bytes of FP16 and BF16, which it has no form for.
    const bytes = parts.map(octal).join("");
    if (json.length + bytes.length > LONGEST) {
      return `# Too many bytes for one line; Python and jitney call take the numbers${saved ? ` from ${SAVED}` : ""}.`;
    }
    return `{ printf %s ${quoted(json)}; printf '${bytes}'; } |\n` +
      `  curl -s ${url}${output} -H 'Inference-Header-Content-Length: ${encoded(json)}' --data-binary @-`;
  }
  if (saved) return `curl -s ${url}${output} -d @${SAVED}`;
  return `curl -s ${url}${output} -d ${quoted(plain(request, text))}`;
}

function octal(bytes) {
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

function encoded(json) {
  return new TextEncoder().encode(json).length;
}

// A file name that no command takes for an option.
function local(file) {
  return file.name.startsWith("-") ? `./${file.name}` : file.name;
}

const NUMPY = {
  BOOL: "np.bool_", UINT8: "np.uint8", UINT16: "np.uint16", UINT32: "np.uint32", UINT64: "np.uint64",
  INT8: "np.int8", INT16: "np.int16", INT32: "np.int32", INT64: "np.int64",
  FP16: "np.float16", BF16: "ml_dtypes.bfloat16", FP32: "np.float32", FP64: "np.float64",
};
const TAKEN = new Set(("and as assert async await break class continue def del elif else except finally for from " +
  "global if import in is lambda nonlocal not or pass raise return try while with False None True " +
  "np ml_dtypes json triton client answer request").split(" "));

function python(model, request, text, saved) {
  const file = fileOf(request);
  const where = BASE.replace(/^https?:\/\//, "");
  const secure = BASE.startsWith("https:") ? ", ssl=True" : "";
  const names = request.inputs.map(({ name }, index) =>
    /^[A-Za-z_]\w*$/.test(name) && !TAKEN.has(name) ? name : `input_${index}`);
  const lines = [
    ...(saved ? ["import json", ""] : []),
    // numpy has no BF16; this is how tritonclient takes it from 26.06 on.
    ...(request.inputs.some((input) => input.datatype === "BF16") ? ["import ml_dtypes"] : []),
    "import numpy as np",
    "import tritonclient.http as triton",
    "",
    `client = triton.InferenceServerClient(${JSON.stringify(where)}${secure})`,
    ...(saved ? [`request = json.load(open("${SAVED}"))`] : []),
  ];
  request.inputs.forEach((input, index) => {
    const shape = `[${input.shape.join(", ")}]`;
    const values = saved
      ? `request["inputs"][${index}]["data"]`
      : file ? `[open(${JSON.stringify(file.name)}, "rb").read()]` : literal(input);
    const array = input.datatype === "BYTES"
      ? `np.array(${saved ? `[text.encode() for text in ${values}]` : values}, np.object_)`
      : `np.array(${values}, ${NUMPY[input.datatype]})`;
    lines.push(
      `${names[index]} = triton.InferInput(${JSON.stringify(input.name)}, ${shape}, "${input.datatype}")`,
      `${names[index]}.set_data_from_numpy(${array}.reshape(${shape}))`,
    );
  });
  const version = model.newest ? "" : `, model_version="${model.version}"`;
  lines.push(`answer = client.infer(${JSON.stringify(model.name)}, [${names.join(", ")}]${version})`);
  for (const output of model.outputs) lines.push(`print(answer.as_numpy(${JSON.stringify(output.name)}))`);
  return lines.join("\n");
}

function literal(input) {
  const data = input.data.flat(Infinity);
  if (input.datatype === "BYTES") {
    return `[${data.map((text) => `${JSON.stringify(String(text))}.encode()`).join(", ")}]`;
  }
  if (input.datatype === "BOOL") return `[${data.map((value) => (value ? "True" : "False")).join(", ")}]`;
  return `[${data.join(", ")}]`;
}

function jitney(model, request, text, saved) {
  const words = [`jitney call ${quoted(model.name)}`];
  if (BASE !== "http://127.0.0.1:8000") words.push(`--url ${quoted(BASE)}`);
  if (!model.newest) words.push(`--model-version ${model.version}`);
  const file = fileOf(request);
  if (file) return [...words, quoted(`@${file.name}`)].join(" ");
  if (saved) {
    if (request.inputs.length > 1) return "# Too many numbers for one line; Python takes them from request.json.";
    return `python3 -c 'import json; print(json.load(open("${SAVED}"))["inputs"][0]["data"])' | ${words.join(" ")} -`;
  }
  const alone = request.inputs.length === 1;
  for (const input of request.inputs) {
    const data = input.data.flat(Infinity);
    if (input.datatype === "BYTES") {
      for (const value of data) {
        const said = String(value).replace(/^@/, "@@");
        if (said === "-") return "# One dash alone means the standard input here; say more, or use Python.";
        words.push(alone && !said.startsWith("-") ? quoted(said) : `--input ${quoted(`${input.name}=${said}`)}`);
      }
    } else {
      const values = nested(data, input.shape);
      words.push(alone ? quoted(values) : `--input ${quoted(`${input.name}=${values}`)}`);
    }
  }
  return words.join(" ");
}

function nested(data, shape) {
  if (shape.length < 2) return JSON.stringify(shape.length ? data : data[0]);
  const size = data.length / (shape[0] || 1);
  const rows = Array.from({ length: shape[0] }, (_, row) =>
    nested(data.slice(row * size, (row + 1) * size), shape.slice(1)));
  return `[${rows.join(",")}]`;
}

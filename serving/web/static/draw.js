// A square to draw on, with a finger, a mouse or the keyboard.
//
// What is drawn is kept as lines, not as pixels. For the model they are drawn anew as the
// digits of its training data were made: cropped to the ink, its proportions kept, in the
// middle of a bitmap of 4 x 4 dots a pixel, and the dots with ink counted.

import { el, id } from "./dom.js";

const SIZE = 320;
const DOTS = 4;
const MARGIN = 2; // dots
const PEN = 0.16; // of the drawing's longer side
const STEP = SIZE / 16;

export function drawForm(model, changed, submit) {
  const { side, low, high } = model.form;
  const [input] = model.example.inputs;
  const canvas = el("canvas", { width: SIZE, height: SIZE, tabindex: "0", role: "application",
    "aria-label": `Drawing area for ${input.name}` });
  const seen = el("canvas", { width: side, height: side, class: "seen", role: "img",
    "aria-label": `What the model sees: ${side} by ${side} pixels` });
  const hint = el("p", { class: "quiet", id: id("hint") },
    "Draw with a finger or the mouse. By keyboard: arrows move the pen, space sets it down and lifts it, Enter asks, Delete clears.");
  canvas.setAttribute("aria-describedby", hint.id);

  let lines = [];
  let pixels = input.data.flat(Infinity).map((value) => (value - low) / (high - low));
  let drawing = false;
  let cursor = null;

  function paint() {
    const ink = getComputedStyle(canvas);
    const brush = canvas.getContext("2d");
    brush.clearRect(0, 0, SIZE, SIZE);
    brush.strokeStyle = brush.fillStyle = ink.color;
    if (lines.length) stroke(brush, lines, SIZE * 0.08);
    else tiles(brush, pixels, side, SIZE, 0.35);
    if (cursor && document.activeElement === canvas) {
      brush.strokeStyle = ink.outlineColor;
      brush.lineWidth = 3;
      brush.beginPath();
      brush.arc(cursor.x, cursor.y, drawing ? 6 : 11, 0, 7);
      brush.stroke();
    }
    const small = seen.getContext("2d");
    small.clearRect(0, 0, side, side);
    small.fillStyle = ink.color;
    tiles(small, pixels, side, side, 1);
  }

  function update() {
    if (lines.length) pixels = pixelsOf(lines, side);
    paint();
    changed();
  }

  function clear() {
    lines = [];
    pixels = new Array(side * side).fill(0);
    drawing = false;
    update();
    canvas.focus();
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * SIZE) / box.width, y: ((event.clientY - box.top) * SIZE) / box.height };
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    cursor = null;
    drawing = true;
    lines.push([at(event)]);
    update();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing || cursor) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) lines.at(-1).push(at(one));
    update();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, () => {
      if (!drawing || cursor) return;
      drawing = false;
      submit();
    });
  }

  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by) {
      cursor ??= { x: SIZE / 2, y: SIZE / 2 };
      const inside = (value) => Math.min(SIZE - STEP / 2, Math.max(STEP / 2, value));
      cursor = { x: inside(cursor.x + by[0] * STEP), y: inside(cursor.y + by[1] * STEP) };
      if (drawing) lines.at(-1).push({ ...cursor });
    } else if (event.key === " ") {
      cursor ??= { x: SIZE / 2, y: SIZE / 2 };
      drawing = !drawing;
      if (drawing) lines.push([{ ...cursor }]);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clear();
    } else if (event.key === "Enter") {
      drawing = false;
      submit();
    } else return;
    event.preventDefault();
    update();
  });
  canvas.addEventListener("focus", () => {
    cursor ??= canvas.matches(":focus-visible") ? { x: SIZE / 2, y: SIZE / 2 } : null;
    paint();
  });
  canvas.addEventListener("blur", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  const again = el("button", { type: "button", class: "plain" }, "Clear");
  again.addEventListener("click", clear);
  const example = el("button", { type: "button", class: "plain" }, "The example again");
  example.addEventListener("click", () => {
    lines = [];
    pixels = input.data.flat(Infinity).map((value) => (value - low) / (high - low));
    update();
  });
  requestAnimationFrame(paint);

  return {
    name: "Draw",
    panel: el("div", { class: "draw" }, el("div", { class: "papers" }, canvas,
      el("div", { class: "sight" }, seen, el("span", { class: "quiet", "aria-hidden": "true" }, "what the model sees"))), hint),
    extra: [again, example],
    request() {
      const data = pixels.map((share) => {
        const value = low + share * (high - low);
        // Whole numbers stay whole; a model of integers takes no others.
        return /INT/.test(input.datatype) ? Math.round(value) : Number(value.toPrecision(6));
      });
      return { request: { ...model.example, inputs: [{ ...input, data }] } };
    },
  };
}

function stroke(brush, lines, width) {
  brush.lineWidth = width;
  brush.lineCap = brush.lineJoin = "round";
  for (const line of lines) {
    brush.beginPath();
    brush.moveTo(line[0].x, line[0].y);
    // A dot is a line too, to where it began.
    for (const point of line) brush.lineTo(point.x, point.y);
    brush.stroke();
  }
}

function tiles(brush, pixels, side, size, most) {
  const edge = size / side;
  pixels.forEach((share, index) => {
    brush.globalAlpha = Math.min(1, Math.max(0, share)) * most;
    brush.fillRect((index % side) * edge, Math.floor(index / side) * edge, edge, edge);
  });
  brush.globalAlpha = 1;
}

// The share of ink in each pixel, row by row.
export function pixelsOf(lines, side) {
  const points = lines.flat();
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const dots = side * DOTS;
  const room = dots - 2 * MARGIN;
  const pen = Math.max(1, PEN * room);
  const scale = (room - pen) / Math.max(width, height, 1e-6);
  // A dot, or little more, must not be blown up to fill the square.
  const by = Math.min(scale, (room - pen) / (SIZE / 4));
  const move = { x: (dots - width * by) / 2, y: (dots - height * by) / 2 };
  const sheet = el("canvas", { width: dots, height: dots });
  const brush = sheet.getContext("2d", { willReadFrequently: true });
  stroke(brush, lines.map((line) => line.map((point) => ({
    x: move.x + (point.x - left) * by, y: move.y + (point.y - top) * by }))), pen);
  const { data } = brush.getImageData(0, 0, dots, dots);
  return Array.from({ length: side * side }, (_, index) => {
    const [column, row] = [index % side, Math.floor(index / side)];
    let ink = 0;
    for (let dot = 0; dot < DOTS * DOTS; dot += 1) {
      const x = column * DOTS + (dot % DOTS);
      const y = row * DOTS + Math.floor(dot / DOTS);
      ink += data[4 * (y * dots + x) + 3] > 127 ? 1 : 0;
    }
    return ink / (DOTS * DOTS);
  });
}

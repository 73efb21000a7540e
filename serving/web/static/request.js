// One request to a model, and its answer.
//
// A request here is {inputs: [{name, datatype, shape, data}], outputs?, parameters?}, the
// protocol's JSON; but `data` may hold a File, whose bytes follow the JSON as they are.

import { fromHalves, isHalf, toHalves } from "./halves.js";

// Where the server is: the page is at its root, wherever that is.
export const BASE = new URL("../..", import.meta.url).href.replace(/\/$/, "");

export function fileOf(request) {
  return request.inputs[0]?.data?.[0] instanceof File ? request.inputs[0].data[0] : null;
}

// The JSON of a request, and the parts that follow it.
export function written(request) {
  const parts = [];
  const inputs = request.inputs.map((input) => {
    const part = binary(input);
    if (!part) return input;
    parts.push(...part);
    const size = part.reduce((sum, piece) => sum + (piece.size ?? piece.byteLength), 0);
    const { data, ...rest } = input;
    return { ...rest, parameters: { ...input.parameters, binary_data_size: size } };
  });
  return { json: JSON.stringify({ ...request, inputs }), parts };
}

function binary(input) {
  if (input.data?.[0] instanceof File) {
    // Each element of BYTES has its length before it.
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, input.data[0].size, true);
    return [new Uint8Array(length.buffer), input.data[0]];
  }
  if (isHalf(input.datatype) && input.data) {
    return [toHalves(input.datatype, input.data.flat(Infinity))];
  }
  return null;
}

// Run a model. `text`: the request as it was typed, which is sent as it is where it can be.
export async function run(model, request, text) {
  const { json, parts } = written(request);
  const body = parts.length ? new Blob([json, ...parts]) : (text ?? json);
  const headers = parts.length
    ? { "Inference-Header-Content-Length": String(new TextEncoder().encode(json).length) }
    : { "Content-Type": "application/json" };
  const began = performance.now();
  let reply;
  let content;
  try {
    reply = await fetch(`${BASE}${model.path}/infer`, { method: "POST", body, headers });
    content = new Uint8Array(await reply.arrayBuffer());
  } catch {
    return { error: "The server does not answer. Is it still running?" };
  }
  const tookS = (performance.now() - began) / 1e3;
  if (!reply.ok) return { error: refusal(reply, content) };
  return { outputs: outputsOf(reply, content), timing: reply.headers.get("server-timing"), tookS };
}

const LEADS = {
  413: "That is too much for one request",
  429: "The server has too much to do and says no at once, so that nobody waits in vain",
  503: "The model does not answer now",
  504: "The request waited longer than it may",
};

function refusal(reply, content) {
  let said = reply.statusText;
  try {
    said = JSON.parse(new TextDecoder().decode(content)).error ?? said;
  } catch {
    // Whatever stands between us and the server may have words of its own.
  }
  const after = reply.headers.get("retry-after");
  const lead = LEADS[reply.status] ? `${LEADS[reply.status]}: ` : "";
  const again = after ? ` Try again in ${after} s.` : "";
  return `${lead}${said.replace(/\.$/, "")} (${reply.status}).${again}`;
}

function outputsOf(reply, content) {
  const length = Number(reply.headers.get("inference-header-content-length") ?? content.length);
  const document = JSON.parse(new TextDecoder().decode(content.subarray(0, length)));
  let at = length;
  return document.outputs.map((output) => {
    const size = output.parameters?.binary_data_size;
    if (size === undefined) return output;
    const bytes = content.subarray(at, at + size);
    at += size;
    if (!isHalf(output.datatype)) return { ...output, data: null, bytes: size };
    return { ...output, data: fromHalves(output.datatype, bytes) };
  });
}

// "queue;dur=0.071, run;dur=3.412, encode;dur=0.031, batch;desc=32" in words.
export function timingInWords(timing, tookS) {
  const whole = `${milliseconds(tookS * 1e3)} there and back`;
  if (!timing) return `${whole}.`;
  const parts = Object.fromEntries(
    timing.split(",").map((metric) => {
      const [name, ...rest] = metric.split(";").map((part) => part.trim());
      return [name, Object.fromEntries(rest.map((pair) => pair.split("=")))];
    }),
  );
  const said = [];
  if (parts.queue) said.push(`it waited ${milliseconds(parts.queue.dur)}`);
  if (parts.run) {
    const rows = Number(parts.batch?.desc ?? 1);
    const company = rows === 1 ? "alone" : `in a batch of ${rows} rows`;
    said.push(`ran ${company} for ${milliseconds(parts.run.dur)}`);
  }
  if (parts.encode) said.push(`its answer was written in ${milliseconds(parts.encode.dur)}`);
  if (parts.padding) said.push(`${parts.padding.desc} of the run was padding`);
  return `${whole}: ${said.join(", ")}.`;
}

function milliseconds(value) {
  const number = Number(value);
  return `${number < 1 ? number.toFixed(2) : number < 100 ? number.toFixed(1) : number.toFixed(0)} ms`;
}

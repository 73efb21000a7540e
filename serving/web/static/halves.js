// FP16 and BF16, which JSON has no form for: numbers to bytes and back.

const view = new DataView(new ArrayBuffer(4));

export function isHalf(datatype) {
  return datatype === "FP16" || datatype === "BF16";
}

export function toHalves(datatype, numbers) {
  const bytes = new DataView(new ArrayBuffer(numbers.length * 2));
  const bits = datatype === "BF16" ? brain : half;
  numbers.forEach((number, index) => bytes.setUint16(index * 2, bits(Number(number)), true));
  return new Uint8Array(bytes.buffer);
}

export function fromHalves(datatype, bytes) {
  const given = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value = datatype === "BF16" ? fromBrain : fromHalf;
  return Array.from({ length: bytes.byteLength / 2 }, (_, n) => value(given.getUint16(n * 2, true)));
}

function brain(number) {
  if (Number.isNaN(number)) return 0x7fc0;
  view.setFloat32(0, number);
  const bits = view.getUint32(0);
  // To the nearest; of two that are equally near, to the even one.
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 0x10000) & 0xffff;
}

function fromBrain(bits) {
  view.setUint32(0, bits * 0x10000);
  return view.getFloat32(0);
}

function half(number) {
  if (Number.isNaN(number)) return 0x7e00;
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
  const size = Math.abs(number);
  if (size >= 65520) return sign | 0x7c00;
  const exponent = size < 2 ** -14 ? -14 : Math.floor(Math.log2(size));
  const steps = even(size / 2 ** (exponent - 10));
  // A carry into the next exponent comes out right by itself.
  return sign | (exponent === -14 ? steps : (exponent + 14) * 1024 + steps);
}

function even(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}

function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const steps = bits & 1023;
  if (exponent === 31) return steps ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + steps) * 2 ** (exponent - 25) : steps * 2 ** -24);
}

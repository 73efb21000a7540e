// Numbers in the form in which people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function number(value) {
  return Math.abs(value) >= 1000 ? whole.format(value) : three.format(value);
}

export function plural(count, word) {
  return `${number(count)} ${word}${count === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  if (seconds < 1e-3) return `${number(seconds * 1e6)} µs`;
  if (seconds < 1) return `${number(seconds * 1e3)} ms`;
  return `${number(seconds)} s`;
}

export function percent(share) {
  const value = share * 100;
  if (value > 99.95 && value < 100) return "> 99.9 %";
  return `${value >= 10 ? value.toFixed(1) : value >= 0.1 ? value.toFixed(1) : value > 0 ? "< 0.1" : "0"} %`;
}

// An element of a tensor.
export function element(value) {
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(4)));
}

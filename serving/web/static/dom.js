// Elements from plain values. What the server says of models is text, and never becomes markup.

export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// Text that changes every second: touched only if it is another one.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let count = 0;

// A new id, of which there is no other in the page.
export function id(word) {
  count += 1;
  return `${word}-${count}`;
}

export function field(label, control) {
  control.id ||= id("field");
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control);
}

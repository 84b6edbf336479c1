/* Building pages: elements from values. Text always goes in as text, so nothing that an atlas says is ever markup. */
"use strict";

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SHAPES = new Set(["svg", "g", "rect", "line", "path", "circle", "polyline", "text", "title"]);

  /** An element: `h("a", { href }, "text", child, [more], null)`; `on…` properties are listeners. */
  P.h = (tag, properties = {}, ...children) => {
    const element = SHAPES.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };

  P.fill = (element, ...children) => {
    element.replaceChildren(...children.flat(9).filter(Boolean));
    return element;
  };

  /** A number as people read it: three digits, no `NaN`. */
  P.number = (value) => {
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
    if (!Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e7) return value.toLocaleString("en");
    const text = size !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
    return text.replace(/^-/, "−");
  };

  /** What a table says of itself, as a sentence among others. */
  P.sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  P.count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  /** Tells those who cannot see the change, and no one else. */
  P.say = (text) => { document.getElementById("said").textContent = text; };

  /** A page's title, for the tab and the history. */
  P.title = (text) => { document.title = text ? `${text} · Pellucid` : "Pellucid"; };

  P.image = (source, about, size) =>
    P.h("img", { src: source, alt: about, width: size && size[1], height: size && size[0], decoding: "async" });
})();

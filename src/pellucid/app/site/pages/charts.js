/* Small drawings of many numbers: where a unit stands in its layer, how often it fires how much, how a score rose. */
"use strict";

(() => {
  const { h } = P;

  P.bins = (values, count) => {
    const numbers = values.filter((value) => typeof value === "number" && Number.isFinite(value));
    if (!numbers.length) return null;
    let [low, high] = [Infinity, -Infinity];
    for (const value of numbers) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low === high) return { low, high, counts: [numbers.length] };
    const counts = new Array(count).fill(0);
    for (const value of numbers) counts[Math.min(count - 1, Math.floor(((value - low) / (high - low)) * count))] += 1;
    return { low, high, counts };
  };

  /** The layer's values as a skyline, and this unit's place in it as a mark. */
  P.standing = (values, value, about) => {
    const found = P.bins(values, 40);
    if (!found || typeof value !== "number" || !Number.isFinite(value)) return null;
    const { low, high, counts } = found;
    const most = Math.max(...counts);
    const bars = counts.map((count, index) => {
      const height = count ? Math.max(1, (count / most) * 22) : 0;
      return h("rect", { x: (index * 160) / counts.length, y: 24 - height, width: 160 / counts.length - 0.6, height });
    });
    const at = high > low ? ((value - low) / (high - low)) * 158 + 1 : 80;
    return h("svg", { class: "standing", viewBox: "0 0 160 28", role: "img", "aria-label": about, preserveAspectRatio: "none" },
      h("title", {}, about), h("g", { class: "bars" }, bars),
      h("line", { class: "mark", x1: at, x2: at, y1: 0, y2: 28 }));
  };

  P.histogram = (counts, edges, about) => {
    const most = Math.max(...counts, 1);
    const width = 600 / counts.length;
    /* A root, so that the rare strong responses, which are what matters, can be seen beside the many weak ones. */
    const bars = counts.map((count, index) => {
      const height = count ? Math.max(1.5, Math.sqrt(count / most) * 150) : 0;
      const range = edges ? `${P.number(edges[index])} to ${P.number(edges[index + 1])}: ` : "";
      return h("rect", { x: index * width, y: 150 - height, width: Math.max(0.5, width - 1), height },
        h("title", {}, `${range}${P.number(count)}`));
    });
    return h("figure", { class: "histogram" },
      h("svg", { viewBox: "0 0 600 150", role: "img", "aria-label": about, preserveAspectRatio: "none" }, bars),
      edges && h("div", { class: "axis" }, h("span", {}, P.number(edges[0])), h("span", {}, P.number(edges.at(-1)))),
      h("figcaption", {}, about));
  };

  P.line = (values, about) => {
    const finite = values.filter(Number.isFinite);
    if (finite.length < 2) return h("svg", { class: "line", viewBox: "0 0 300 60", "aria-hidden": "true" });
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    const points = values.map((value, index) => {
      const y = Number.isFinite(value) && high > low ? 57 - ((value - low) / (high - low)) * 54 : 57;
      return `${((index * 300) / (values.length - 1)).toFixed(1)},${y.toFixed(1)}`;
    });
    return h("svg", { class: "line", viewBox: "0 0 300 60", role: "img", "aria-label": about, preserveAspectRatio: "none" },
      h("polyline", { points: points.join(" ") }));
  };
})();

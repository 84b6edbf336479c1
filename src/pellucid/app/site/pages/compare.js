/* Two atlases side by side, unit by unit of a layer. */
"use strict";

(() => {
  const { h } = P;

  P.views.compare = async (view, { layer: name, query }, page) => {
    const [one, other] = [P.book.atlases[P.book.main], P.book.atlases[P.book.compare]];
    const common = one.layers.filter((layer) => other.layers.some((twin) => twin.name === layer.name)).map((layer) => layer.name);
    P.title(`${name}: ${one.side} and ${other.side}`);
    const pick = h("label", { class: "choice", for: "layer" }, h("span", {}, "layer"),
      h("select", { id: "layer", onchange: (event) => P.go(P.to.compare(event.target.value)) }, common.map((layer) => h("option", { selected: layer === name }, layer))));
    if (!common.includes(name)) {
      P.fill(view, h("h1", {}, name), h("p", {}, `${other.side} has no layer ${name}.`), pick);
      return;
    }
    const [left, right] = await page.ready(Promise.all([P.data.layer(P.book.main, name), P.data.layer(P.book.compare, name)]));
    const at = new Map(right.units.map((unit, index) => [unit, index]));
    const score = (layer, index) => layer.columns[0].values[index];
    const pairs = left.units.map((unit, index) => ({ unit, label: left.labels[index], a: score(left, index), b: at.has(unit) ? score(right, at.get(unit)) : null }))
      .filter((pair) => at.has(pair.unit));
    const change = (pair) => (pair.a === null || pair.b === null ? NaN : pair.b - pair.a);
    const ways = {
      unit: ["number", (pair) => pair.unit],
      more: [`higher in ${other.side}`, (pair) => -change(pair)],
      less: [`higher in ${one.side}`, change],
      most: ["most changed score", (pair) => -Math.abs(change(pair))],
    };
    const sorted = (way) => [...pairs].sort((a, b) => {
      const [x, y] = [ways[way][1](a), ways[way][1](b)];
      return Number.isNaN(x) - Number.isNaN(y) || x - y || a.unit - b.unit;
    });
    let shown = sorted(query.get("sort") in ways ? query.get("sort") : "unit");
    const make = (index) => {
      const pair = shown[index];
      const images = [P.book.main, P.book.compare].map((atlas) => ({ atlas, image: h("img", { alt: "", decoding: "async" }) }));
      const difference = change(pair);
      const element = h("div", { class: "tile pair" }, h("a", { href: P.href(P.to.unit(name, pair.unit)), "aria-label": `${name} ${pair.unit} in both` },
        h("span", { class: "frame" }, images.map((each) => each.image)),
        h("span", { class: "caption" }, h("span", { class: "name" }, String(pair.unit), pair.label && h("span", { class: "label" }, pair.label)),
          h("span", { class: "note" }, `${P.number(pair.a)} → ${P.number(pair.b)}${Number.isNaN(difference) ? "" : ` (${difference >= 0 ? "+" : ""}${P.number(difference)})`}`))));
      return { element, load: () => { for (const each of images) each.image.src = P.data.thumb(each.atlas, name, pair.unit); } };
    };
    const grid = P.grid({ count: pairs.length, make, size: 112, shape: 2, about: `Units of ${name} in both atlases` });
    const facts = (atlas, side) => h("p", {}, h("b", {}, side), ` ${atlas.side} `, h("span", { class: "quiet" }, `weights ${atlas.model_hash}`));
    P.fill(view, h("h1", {}, name),
      h("div", { class: "sides" }, facts(one, "left"), facts(other, "right")),
      h("div", { class: "toolbar" }, h("p", { class: "quiet count" }, `${P.count(pairs.length, "unit")} in both`), h("div", { class: "row" }, pick,
        h("label", { class: "choice", for: "way" }, h("span", {}, "sort by"), h("select", { id: "way", onchange: (event) => {
          shown = sorted(event.target.value);
          P.amend(P.to.compare(name, event.target.value === "unit" ? "" : `?sort=${event.target.value}`));
          grid.renew({ make });
        } }, Object.entries(ways).map(([key, [title]]) => h("option", { value: key, selected: key === query.get("sort") }, title)))))),
      grid.box);
    page.grid = grid;
  };
})();

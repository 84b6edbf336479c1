/* The first page: the network from its input to its output, a line of pictures for each layer. */
"use strict";

(() => {
  const { h } = P;

  const line = (atlas, layer) => {
    const shape = layer.shape.join(" × ");
    const lacking = layer.units - layer.have;
    return h("li", { class: "rung", id: `layer-${layer.name}` },
      h("div", { class: "about" },
        h("h2", {}, h("a", { href: P.href(P.to.layer(layer.name)) }, layer.name)),
        h("p", {}, P.count(layer.have, "unit"), lacking > 0 && ` of ${P.number(layer.units)}`),
        h("p", { class: "quiet" }, layer.kind, " · ", h("span", { class: "shape" }, shape))),
      h("div", { class: "reel" }, layer.samples.map((unit) => {
        const image = h("img", { src: P.data.thumb(atlas, layer.name, unit), alt: "", loading: "lazy", decoding: "async" });
        return h("a", { href: P.href(P.to.unit(layer.name, unit)), "aria-label": `${layer.name} ${unit}`, tabindex: "-1" }, image);
      })));
  };

  P.views = P.views || {};
  P.views.overview = (view) => {
    const book = P.book;
    const atlas = book.atlases[book.main];
    const units = atlas.layers.reduce((sum, layer) => sum + layer.have, 0);
    P.title(atlas.name);
    P.fill(view,
      h("div", { class: "hero" },
        h("h1", {}, atlas.name),
        h("p", { class: "lead" },
          `What ${P.count(units, "unit")} in ${P.count(atlas.layers.length, "layer")} look for. Each picture began as faint `
          + "noise and was changed, step by step, until it excited its unit as much as it could."),
        h("p", { class: "links" },
          h("a", { href: P.href(P.to.about()) }, "How it was made"),
          h("a", { href: P.href(P.to.notes()) }, "Notes and tags"),
          book.compare !== null && h("a", { href: P.href(P.to.compare(atlas.layers[0].name)) },
            `Compare with ${book.atlases[book.compare].side}`))),
      h("ol", { class: "ladder", "aria-label": "Layers, from the input to the output" },
        atlas.layers.map((layer) => line(book.main, layer))));
  };
})();

/* A layer's page: all its units, sorted and filtered. */
"use strict";

(() => {
  const { h } = P;
  const SIZES = { small: 72, medium: 112, large: 176 };

  const keptSize = () => {
    try { return localStorage.getItem("pellucid-tiles") || "medium"; } catch { return "medium"; }
  };

  const choice = (id, label, options, value, onchange) => h("label", { class: "choice", for: id }, h("span", {}, label),
    h("select", { id, onchange: (event) => onchange(event.target.value) },
      options.map(([key, title]) => h("option", { value: key, selected: key === value }, title))));

  P.views.layer = async (view, { layer: name, query }, page) => {
    const [layer, notes] = await page.ready(Promise.all([P.data.layer(P.book.main, name), P.data.notes()]));
    const known = P.book.atlases[P.book.main].layers;
    const at = known.findIndex((one) => one.name === name);
    P.title(name);
    let size = SIZES[keptSize()] || SIZES.medium;
    let shown = P.order(layer, query, notes);

    const shape = layer.size ? layer.size[1] / layer.size[0] : 1;
    const make = (index) => {
      const position = shown.positions[index];
      const by = shown.by.key === "unit" ? layer.columns[0] : shown.by;
      return P.tile({
        layer: name,
        unit: layer.units[position],
        label: layer.labels[position],
        status: layer.status[position],
        note: by && by.key !== "label" ? P.number(by.values[position]) : "",
      });
    };
    const grid = P.grid({ count: shown.positions.length, make, size, shape, about: `Units of ${name}` });
    const said = h("p", { class: "quiet count", role: "status" });

    const tell = () => {
      const all = layer.units.length;
      const some = shown.positions.length;
      said.textContent = some === all ? P.count(all, "unit") : `${P.number(some)} of ${P.count(all, "unit")}`;
      empty.hidden = some > 0;
      P.walk = { layer: name, units: shown.positions.map((position) => layer.units[position]) };
    };
    const set = (changes) => {
      for (const [key, value] of Object.entries(changes)) if (value) query.set(key, value); else query.delete(key);
      P.amend(P.to.layer(name, query.size ? `?${query}` : ""));
      shown = P.order(layer, query, notes);
      direction.textContent = query.get("down") ? "↓" : "↑";
      direction.setAttribute("aria-label", query.get("down") ? "Falling: sort rising" : "Rising: sort falling");
      tell();
      grid.renew({ count: shown.positions.length, make });
    };

    const columns = P.columns(layer);
    const numeric = columns.filter((column) => column.values.some((value) => typeof value === "number"));
    const tags = [...new Set(layer.units.flatMap((unit) => P.tagsOf(notes, name, unit)))].sort();
    const direction = h("button", { type: "button", class: "round", onclick: () => set({ down: query.get("down") ? "" : "1" }) },
      query.get("down") ? "↓" : "↑");
    const bound = (key, label) => h("input", {
      type: "number", step: "any", placeholder: label, "aria-label": label, value: query.get(key) || "",
      oninput: (event) => set({ [key]: event.target.value, of: query.get("of") || numeric.at(-1)?.key }),
    });
    const failed = layer.status.filter((status) => !["done", "converged"].includes(status)).length;
    const filters = h("details", { class: "filters", open: ["q", "status", "of", "tag"].some((key) => query.get(key)) },
      h("summary", {}, "Filter"),
      h("div", { class: "row" },
        h("label", { class: "choice", for: "filter-words" }, h("span", {}, "number or name"),
          h("input", { id: "filter-words", type: "search", value: query.get("q") || "", oninput: (event) => set({ q: event.target.value }) })),
        choice("filter-status", "status", [["", "all"], ["good", "finished"], ["bad", `failed (${failed})`]], query.get("status") || "",
          (value) => set({ status: value })),
        tags.length > 0 && choice("filter-tag", "tag", [["", "any"], ...tags.map((tag) => [tag, tag])], query.get("tag") || "",
          (value) => set({ tag: value })),
        choice("filter-of", "between", [["", "–"], ...numeric.map((one) => [one.key, one.title])], query.get("of") || "",
          (value) => set({ of: value })),
        bound("from", "least"), bound("to", "most")));
    const empty = h("p", { class: "empty" }, "No unit of this layer passes the filter. ",
      h("button", { type: "button", class: "plain", onclick: () => P.go(P.to.layer(name)) }, "Show all"));

    P.fill(view,
      h("div", { class: "head" },
        h("div", {}, h("h1", {}, name), h("p", { class: "quiet" }, [known[at].kind, known[at].shape.join(" × ")].filter(Boolean).join(" · "))),
        h("nav", { class: "pager", "aria-label": "Layers" },
          at > 0 && h("a", { rel: "prev", href: P.href(P.to.layer(known[at - 1].name)) }, `← ${known[at - 1].name}`),
          at < known.length - 1 && h("a", { rel: "next", href: P.href(P.to.layer(known[at + 1].name)) }, `${known[at + 1].name} →`))),
      h("div", { class: "toolbar" },
        said,
        h("div", { class: "row" },
          choice("sort", "sort by", columns.map((column) => [column.key, column.title]), shown.by.key, (value) => set({ sort: value })),
          direction,
          choice("tiles", "tiles", Object.keys(SIZES).map((key) => [key, key]), keptSize(), (value) => {
            try { localStorage.setItem("pellucid-tiles", value); } catch { /* not kept, but done */ }
            size = SIZES[value];
            grid.renew({ size, make });
          }),
          P.book.compare !== null && h("a", { href: P.href(P.to.compare(name)) }, "Compare")),
        filters),
      empty, grid.box);
    tell();
    set({});
    page.grid = grid;
  };
})();

/* Search by name, number, class and tag: suggestions while typing, and a page of all that was found. */
"use strict";

(() => {
  const { h } = P;
  const MOST = 400;

  /* `names` is [layer number, unit, label] for every unit that has a name. */
  const find = async (words) => {
    const text = words.trim().toLowerCase();
    const layers = P.book.atlases[P.book.main].layers;
    const found = { layers: [], units: [] };
    if (!text) return found;
    const add = (layer, unit, label, note) => {
      if (found.units.length < MOST && !found.units.some((one) => one.layer === layer && one.unit === unit)) found.units.push({ layer, unit, label, note });
    };
    if (text.startsWith("#")) {
      const notes = await P.data.notes();
      for (const [name, own] of Object.entries(notes)) {
        const at = name.lastIndexOf(":");
        const tag = own.tags.find((one) => one.toLowerCase().startsWith(text.slice(1)));
        if (tag !== undefined) add(name.slice(0, at), Number(name.slice(at + 1)), null, `#${tag}`);
      }
      return found;
    }
    const [names, notes] = await Promise.all([P.data.names(), P.data.notes()]);
    const exact = text.match(/^(.*?)[\s:/]+(\d{1,9})$/);
    if (exact) {
      const near = layers.filter((layer) => layer.name.toLowerCase() === exact[1]);
      for (const layer of near.length ? near : layers.filter((layer) => layer.name.toLowerCase().includes(exact[1]))) {
        if (P.has(layer, Number(exact[2]))) add(layer.name, Number(exact[2]));
      }
    }
    if (/^\d{1,9}$/.test(text)) for (const layer of layers) if (P.has(layer, Number(text))) add(layer.name, Number(text));
    found.layers = layers.filter((layer) => layer.name.toLowerCase().includes(text)).map((layer) => layer.name);
    const wholes = [], starts = [], parts = [];
    for (const [layer, unit, label] of names) {
      const low = label.toLowerCase();
      if (!low.includes(text)) continue;
      (low === text ? wholes : low.startsWith(text) ? starts : parts).push([layers[layer].name, unit, label]);
    }
    for (const [layer, unit, label] of [...wholes, ...starts, ...parts]) add(layer, unit, label);
    for (const [name, own] of Object.entries(notes)) {
      const at = name.lastIndexOf(":");
      if (own.note.toLowerCase().includes(text) || own.tags.some((tag) => tag.toLowerCase().includes(text))) add(name.slice(0, at), Number(name.slice(at + 1)), null, "noted");
    }
    return found;
  };

  /** Whether a layer has this unit, by its runs `[[first, last], …]`. */
  P.has = (layer, unit) => layer.spans.some(([first, last]) => first <= unit && unit <= last);

  P.views.search = async (view, { query }, page) => {
    const words = query.get("q") || "";
    const found = await page.ready(find(words));
    P.title(`Search: ${words}`);
    const none = !found.units.length && !found.layers.length;
    const grid = P.grid({
      count: found.units.length, size: 112, about: `Units found for ${words}`,
      make: (index) => P.tile({ ...found.units[index], named: true }),
    });
    P.fill(view, h("h1", {}, "Search"),
      h("p", { class: "lead" }, none ? `Nothing in this atlas is called “${words}”.` : `${found.units.length === MOST ? `The first ${MOST}` : P.count(found.units.length, "unit")} for “${words}”.`),
      none && h("p", {}, "Search takes a unit (mixed4a:12), a number (12, in every layer), a layer, a class or another name that the atlas's tables give to units, and a tag (#curve)."),
      found.layers.length > 0 && h("p", { class: "links" }, found.layers.map((layer) => h("a", { href: P.href(P.to.layer(layer)) }, layer))),
      grid.box);
    page.grid = grid;
  };

  P.views.like = async (view, { layer, unit }, page) => {
    const [data, alike] = await page.ready(Promise.all([P.data.unit(P.book.main, layer, unit), P.data.alike(P.book.main, layer, unit)]));
    const groups = [...data.links.filter((group) => !group.is_wiring), alike].filter(Boolean);
    P.title(`Like ${data.target}`);
    const own = P.tile({ layer, unit, label: data.label, named: true });
    own.load();
    P.fill(view, h("h1", {}, "Like ", h("a", { href: P.href(P.to.unit(layer, unit)) }, data.target)),
      h("div", { class: "strip" }, own.element),
      groups.length ? groups.map((group) => h("section", { class: "part" }, h("h2", {}, group.title), h("p", { class: "quiet" }, P.sentence(group.about)),
        P.strip(group.items.map((one) => ({ ...one, note: P.number(one.value) })), group.title))) : h("p", {}, "Nothing is known of what it is like."));
  };

  /* Suggestions: the pattern of a combobox with a list, by the ARIA authoring practices. */
  P.searchBox = () => {
    const [box, list, form] = ["words", "hits", "find"].map((id) => document.getElementById(id));
    let [options, chosen, asked] = [[], -1, 0];
    const layers = P.book.atlases[P.book.main].layers;
    const example = layers[Math.floor(layers.length / 2)];
    if (example?.name.length < 12) box.placeholder = `Search: ${example.name}:${Math.min(12, example.units - 1)}, a class, a #tag`;
    const close = () => { list.hidden = true; chosen = -1; box.setAttribute("aria-expanded", "false"); box.removeAttribute("aria-activedescendant"); };
    const mark = (index) => {
      chosen = index;
      [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
      if (index >= 0) box.setAttribute("aria-activedescendant", `hit-${index}`); else box.removeAttribute("aria-activedescendant");
      list.children[index]?.scrollIntoView({ block: "nearest" });
    };
    const leave = (path) => { close(); box.blur(); P.go(path); };
    box.addEventListener("input", async () => {
      const turn = (asked += 1);
      const found = await find(box.value).catch(() => null);
      if (turn !== asked || !found || document.activeElement !== box) return; // come too late
      options = [...found.layers.slice(0, 3).map((layer) => ({ path: P.to.layer(layer), name: layer, note: "layer" })),
        ...found.units.slice(0, 9).map((one) => ({ ...one, path: P.to.unit(one.layer, one.unit), name: `${one.layer}:${one.unit}`, note: one.label || one.note }))];
      P.fill(list, options.map((one, index) => h("li", {
        id: `hit-${index}`, role: "option", "aria-selected": "false",
        onpointerdown: (event) => { event.preventDefault(); leave(one.path); },
      }, "unit" in one ? h("img", { src: P.data.thumb(P.book.main, one.layer, one.unit), alt: "" }) : h("span", { class: "stack", "aria-hidden": "true" }),
      h("span", {}, one.name), h("span", { class: "quiet" }, one.note))));
      list.hidden = !options.length;
      box.setAttribute("aria-expanded", String(options.length > 0));
      mark(-1);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (!options.length || list.hidden) return;
        event.preventDefault();
        const step = event.key === "ArrowDown" ? 1 : -1;
        mark((chosen + step + options.length + (chosen < 0 && step < 0 ? 1 : 0)) % options.length);
      } else if (event.key === "Escape") { close(); box.blur(); }
    });
    box.addEventListener("blur", close);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      asked += 1;
      if (chosen >= 0) leave(options[chosen].path);
      else if (box.value.trim()) leave(P.to.search(box.value.trim()));
    });
  };
})();

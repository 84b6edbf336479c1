/* Draws the view that the address names, and listens to the keyboard. */
"use strict";

(() => {
  const { h } = P;
  const view = document.getElementById("view");
  let now = { view: "overview" };

  const trail = ({ layer, unit, view: name }) => {
    const steps = [h("a", { href: P.href(P.to.overview()), class: "brand" }, "Pellucid")];
    const atlas = P.book.atlases[P.book.main].name;
    const words = { search: "search", notes: "notes", about: "about", compare: "compare", like: "like" };
    if (name !== "overview") steps.push(h("a", { href: P.href(P.to.overview()), class: "whole" }, atlas));
    if (words[name]) steps.push(h("span", {}, words[name]));
    if (layer) steps.push(unit === undefined && name === "layer" ? h("span", { "aria-current": "page" }, layer) : h("a", { href: P.href(P.to.layer(layer)) }, layer));
    if (unit !== undefined) steps.push(h("span", { "aria-current": "page" }, String(unit)));
    P.fill(document.getElementById("trail"), steps);
  };

  P.views.missing = (place, { path }) => {
    P.title("Not here");
    P.fill(place, h("h1", {}, "Nothing here"), h("p", { class: "lead" }, `This atlas has no ${path || "such address"}.`),
      h("p", {}, h("a", { href: P.href(P.to.overview()) }, "All layers")));
  };

  /* Of the view asked for last: its `grid`, if it has one, the addresses `beside` it, before and after, and what to do
     `next`, when it is drawn: what the last key asked of it before. */
  let page = {};
  /* A view is drawn when all it needs is there: `page.ready(promise)` waits for that, and throws if by then another view
     was asked for, so that one which comes late changes nothing. */
  P.draw = async (wanted) => {
    page.grid?.stop();
    const ready = async (promise) => {
      const found = await promise;
      if (own !== page) throw new Error("too late");
      return found;
    };
    const own = page = { ready };
    view.setAttribute("aria-busy", "true");
    const from = now;
    now = wanted;
    view.dataset.view = wanted.view;
    document.getElementById("words").value = (wanted.view === "search" && wanted.query.get("q")) || "";
    trail(wanted);
    const place = h("div", { class: "page" });
    try {
      const drawn = P.views[wanted.view](place, wanted, own);
      if (drawn) await Promise.race([drawn, new Promise((resolve) => { setTimeout(resolve, 150); })]);
      if (own === page) {
        if (!place.hasChildNodes()) place.append(h("p", { class: "quiet" }, "Looking …"));
        view.replaceChildren(place);
      }
      await drawn;
    } catch (error) {
      P.fill(place, h("h1", {}, "This cannot be shown"), h("p", { class: "fault" }, error.message));
    }
    if (own !== page) return;
    view.replaceChildren(place);
    own.grid?.start(); // it measures its place, so the view is in the page by now
    view.removeAttribute("aria-busy");
    if (from !== wanted && document.activeElement === document.body) view.focus({ preventScroll: true });
    own.next?.();
  };

  const up = () => {
    if (now.unit !== undefined) P.go(P.to.layer(now.layer));
    else P.go(P.to.overview());
  };

  const beside = (step) => {
    const layers = P.book.atlases[P.book.main].layers.map((layer) => layer.name);
    if (now.view === "unit") { const path = page.beside?.[step < 0 ? 0 : 1]; if (path) P.go(path); return; }
    const next = now.view === "layer" && layers[layers.indexOf(now.layer) + step];
    if (next) P.go(P.to.layer(next));
  };

  const actions = {
    "/": () => document.getElementById("words").focus(),
    "?": () => P.help(),
    g: () => P.go(P.to.overview()),
    u: up,
    f: () => page.grid?.focus(0),
    t: () => P.theme.next(),
    r: () => document.querySelector('[data-way="again"]')?.click(),
    n: () => document.getElementById("write-note")?.click(),
    s: () => { if (now.view === "unit") P.go(P.to.like(now.layer, now.unit)); },
    ArrowLeft: () => beside(-1),
    ArrowRight: () => beside(1),
  };
  const ofContents = new Set(["f", "r", "n", "ArrowLeft", "ArrowRight"]); // keys that need what the view has drawn

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const inField = event.target.closest?.("input, textarea, select, dialog");
    if (inField) {
      if (event.key === "Escape" && !event.target.closest("dialog")) event.target.blur();
      return;
    }
    if (event.key.startsWith("Arrow") && event.target.closest?.(".grid")) return;
    if (!(event.key in actions)) return;
    event.preventDefault();
    const early = ofContents.has(event.key) && view.hasAttribute("aria-busy");
    page.next = early ? actions[event.key] : null;
    if (!early) actions[event.key]();
  });

  const begin = async () => {
    P.theme.dress();
    document.getElementById("theme").addEventListener("click", P.theme.next);
    document.getElementById("help").addEventListener("click", P.help);
    try { await P.data.book(); } catch (error) {
      P.fill(view, h("h1", {}, "The atlas cannot be opened"), h("p", { class: "fault" }, error.message));
      return;
    }
    P.searchBox();
    const atlas = P.book.atlases[P.book.main];
    P.fill(document.getElementById("foot"),
      h("p", {}, `Pellucid ${P.book.version} · network ${atlas.model} ${atlas.model_hash} · `, h("a", { href: P.href(P.to.about()) }, "how it was made")));
    P.listen();
  };
  begin();
})();

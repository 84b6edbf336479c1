/* Addresses: `/mixed4a/12` on the viewer, `#/mixed4a/12` on a static site. What is no layer lies below `/-/`. */
"use strict";

(() => {
  const encode = (layer) => layer.split("/").map(encodeURIComponent).join("/");

  P.to = {
    overview: () => "/",
    layer: (layer, query = "") => `/${encode(layer)}${query}`,
    unit: (layer, unit) => `/${encode(layer)}/${unit}`,
    compare: (layer, query = "") => `/-/compare/${encode(layer)}${query}`,
    like: (layer, unit) => `/-/like/${encode(layer)}/${unit}`,
    search: (words) => `/-/search?q=${encodeURIComponent(words)}`,
    notes: () => "/-/notes",
    about: () => "/-/about",
  };
  P.href = (path) => (P.isStatic ? `#${path}` : path);

  const here = () => (P.isStatic ? location.hash.slice(1) || "/" : location.pathname + location.search);

  const unitOf = (parts, layers) => {
    const whole = parts.join("/");
    if (layers.includes(whole)) return { layer: whole };
    const layer = parts.slice(0, -1).join("/");
    if (/^\d{1,9}$/.test(parts.at(-1)) && layers.includes(layer)) return { layer, unit: Number(parts.at(-1)) };
    return null;
  };

  /** What an address shows: `{ view, layer, unit, query }`; the view `missing` where there is nothing. */
  P.read = (address = here()) => {
    const [path, search = ""] = address.split("?");
    const query = new URLSearchParams(search);
    let parts;
    try { parts = path.split("/").filter(Boolean).map(decodeURIComponent); } catch { return { view: "missing", query }; }
    const layers = P.book.atlases[P.book.main].layers.map((layer) => layer.name);
    if (!parts.length) return { view: "overview", query };
    if (parts[0] !== "-") {
      const found = unitOf(parts, layers);
      return found ? { view: "unit" in found ? "unit" : "layer", ...found, query } : { view: "missing", query, path };
    }
    const [, view, ...rest] = parts;
    if (["search", "notes", "about"].includes(view) && !rest.length) return { view, query };
    const found = rest.length ? unitOf(rest, layers) : null;
    if (view === "compare" && found && P.book.compare !== null) return { view, ...found, query };
    if (view === "like" && found && "unit" in found) return { view, ...found, query };
    return { view: "missing", query, path };
  };

  let shown = "";
  const heights = new Map(); // how far down each address was left, for the way back to it
  const show = async (top = 0) => {
    shown = here();
    await P.draw(P.read());
    if (here() === shown) scrollTo(0, top);
  };
  const leave = () => heights.set(shown, scrollY);

  let isNew = false; // a static site is told of new and of old addresses in the same way
  P.go = (path) => {
    leave();
    if (P.isStatic) { isNew = true; location.hash = path; return; }
    history.pushState(null, "", path);
    scrollTo(0, 0);
    show();
  };

  /** Another address for the same view (its sorting and filters), without a new entry in the history. */
  P.amend = (path) => {
    history.replaceState(null, "", P.href(path));
    shown = here();
  };

  P.listen = () => {
    history.scrollRestoration = "manual";
    const back = () => {
      if (here() === shown) return;
      if (!isNew) leave();
      show(isNew ? 0 : heights.get(here()) || 0);
      isNew = false;
    };
    addEventListener(P.isStatic ? "hashchange" : "popstate", back);
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[href]");
      if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const path = link.getAttribute("href");
      if (link.target || !path.startsWith(P.isStatic ? "#/" : "/")) return;
      event.preventDefault();
      P.go(P.isStatic ? path.slice(1) : path);
    });
    show();
  };
})();

/* A grid of thousands of tiles of which only those near the window exist. The page scrolls, not a box within it. */
"use strict";

(() => {
  const AHEAD = 1.5; // windows of tiles kept above and below, so that none is blank when it comes into sight
  const SETTLED = 90; // milliseconds without a jump before pictures are asked for again
  const CAPTION = 44; // px below each picture

  /** `make(index)` builds tile `index` of `count`: `{ element, load }`; `load` asks for its pictures. */
  P.grid = ({ count, make, size, shape = 1, about }) => {
    const box = P.h("div", { class: "grid", role: "list", "aria-label": about });
    const tiles = new Map();
    let [columns, cell, row, seen, timer, total] = [1, size, size, 0, 0, count];

    const measure = () => {
      const gap = size < 90 ? 8 : 12;
      columns = Math.max(shape > 1 ? 1 : 2, Math.floor((box.clientWidth + gap) / (size * shape + gap) + 0.35)); // rather one more than huge ones
      cell = (box.clientWidth + gap) / columns;
      row = (cell - gap) / shape + CAPTION;
      box.style.height = `${Math.ceil(total / columns) * row}px`;
      box.style.setProperty("--gap", `${gap}px`);
      for (const [index, tile] of tiles) place(index, tile.element);
    };

    const place = (index, element) => {
      element.style.transform = `translate(${(index % columns) * cell}px, ${Math.floor(index / columns) * row}px)`;
      element.style.width = `calc(${cell}px - var(--gap))`;
    };

    const drop = (index) => {
      const { element } = tiles.get(index);
      for (const image of element.querySelectorAll("img")) image.removeAttribute("src"); // stops its loading
      element.remove();
      tiles.delete(index);
    };

    const ensure = (index) => {
      if (tiles.has(index)) return tiles.get(index);
      const tile = make(index);
      tile.element.setAttribute("role", "listitem");
      tile.element.setAttribute("aria-setsize", total);
      tile.element.setAttribute("aria-posinset", index + 1);
      tile.element.dataset.index = index;
      place(index, tile.element);
      tiles.set(index, tile);
      return tile;
    };

    /* What is in the window first, then what is near it: a browser asks for six at once, in this order. */
    const load = () => {
      timer = 0;
      const middle = innerHeight / 2 - box.getBoundingClientRect().top;
      const away = (index) => Math.abs((Math.floor(index / columns) + 0.5) * row - middle);
      const waiting = [...tiles].filter(([, tile]) => !tile.loaded).sort(([a], [b]) => away(a) - away(b));
      for (const [index, tile] of waiting) {
        for (const image of tile.element.querySelectorAll("img")) image.fetchPriority = away(index) < innerHeight / 2 + row ? "high" : "low";
        tile.loaded = true;
        tile.load();
      }
    };

    const update = () => {
      if (!box.isConnected) return;
      const top = -box.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor((top - AHEAD * innerHeight) / row)) * columns;
      const last = Math.min(total, Math.ceil((top + (1 + AHEAD) * innerHeight) / row) * columns);
      const focused = document.activeElement?.closest?.(".grid > *");
      for (const index of [...tiles.keys()]) {
        if ((index < first || index >= last) && tiles.get(index).element !== focused) drop(index);
      }
      const fresh = [];
      for (let index = first; index < last; index += 1) if (!tiles.has(index)) fresh.push(ensure(index).element);
      box.append(...fresh);
      box.dataset.part = tiles.size < total ? `${tiles.size.toLocaleString("en")} of ${total.toLocaleString("en")}: those near what the window showed` : "";
      const jumped = Math.abs(top - seen) > 3 * innerHeight; // dragging the bar: do not ask for what flies past
      seen = top;
      clearTimeout(timer);
      if (jumped) timer = setTimeout(load, SETTLED); else load();
    };

    let asked = false;
    const soon = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; update(); });
    };

    const focus = (index) => {
      const at = Math.max(0, Math.min(total - 1, index));
      const top = box.getBoundingClientRect().top + Math.floor(at / columns) * row;
      if (top < 120) scrollBy(0, top - 120);
      else if (top + row > innerHeight - 12) scrollBy(0, top + row - innerHeight + 12);
      update();
      const { element } = ensure(at);
      if (!element.isConnected) box.append(element);
      element.querySelector("a").focus({ preventScroll: true });
    };

    box.addEventListener("keydown", (event) => {
      const index = Number(event.target.closest("[data-index]")?.dataset.index);
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
      if (Number.isNaN(index) || event.metaKey || event.ctrlKey || event.altKey) return;
      if (event.key in steps) focus(index + steps[event.key]);
      else if (event.key === "Home") focus(0);
      else if (event.key === "End") focus(total - 1);
      else return;
      event.preventDefault();
    });

    const observer = new ResizeObserver(() => { measure(); soon(); });
    /** Once the box is in the page: its first tiles are there when this returns. */
    const start = () => {
      measure();
      update();
      observer.observe(box);
      addEventListener("scroll", soon, { passive: true });
    };
    const stop = () => { observer.disconnect(); removeEventListener("scroll", soon); clearTimeout(timer); };

    /** Other contents in the same place: after sorting, filtering or another size of tile. */
    const renew = (next) => {
      ({ count: total = total, make = make, size = size } = next);
      for (const index of [...tiles.keys()]) drop(index);
      measure();
      update();
    };
    return { box, start, stop, renew, focus };
  };

  /** One unit's tile: its picture and name, and below it what the grid is sorted by. */
  P.tile = ({ atlas = P.book.main, layer, unit, label, note, status, named = false }) => {
    const bad = status && !["done", "converged"].includes(status);
    const name = named ? `${layer}:${unit}` : String(unit);
    const about = `${layer} ${unit}${label ? `, ${label}` : ""}`;
    const image = P.h("img", { alt: "", decoding: "async", draggable: "false" });
    const element = P.h("div", { class: ["tile", bad && "bad", named && "named"].filter(Boolean).join(" ") },
      P.h("a", { href: P.href(P.to.unit(layer, unit)), "aria-label": bad ? `${about}, ${status}` : about },
        P.h("span", { class: "frame" }, image),
        P.h("span", { class: "caption" },
          P.h("span", { class: "name" }, name, label && P.h("span", { class: "label" }, label)),
          P.h("span", { class: "note" }, bad ? status : note))));
    return { element, load: () => { image.src = P.data.thumb(atlas, layer, unit); } };
  };

  /** A few tiles in a row or some rows, for lists that are never long. */
  P.strip = (entries, about) => P.h("ul", { class: "strip", "aria-label": about }, entries.map((entry) => {
    const { element, load } = P.tile({ named: true, ...entry });
    for (const image of element.querySelectorAll("img")) image.loading = "lazy";
    load();
    return P.h("li", {}, element);
  }));
})();

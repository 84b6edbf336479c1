/* What the pages show, from the server that the page came from, or from the scripts beside a static site. */
"use strict";

(() => {
  const root = document.documentElement.dataset.root;
  P.isStatic = document.documentElement.dataset.kind === "static";
  const kept = new Map();
  const awaited = new Map();

  /* A static site's data are scripts, for a page opened from a disk may not fetch: each calls this once. */
  P.receive = (name, value) => { awaited.get(name)?.(value); awaited.delete(name); };

  const byScript = (name) => new Promise((resolve, reject) => {
    awaited.set(name, resolve);
    const script = P.h("script", {
      src: `${root}data/${name}.js`,
      onload: () => script.remove(),
      onerror: () => { script.remove(); reject(new Error(`data/${name}.js is missing from this site`)); },
    });
    document.head.append(script);
  });

  const byFetch = async (name) => {
    const answer = await fetch(`${root}data/${name}`);
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || `the viewer answered ${answer.status}`);
    return answer.json();
  };

  const ask = (name) => {
    if (!kept.has(name)) {
      const promise = P.isStatic ? byScript(name) : byFetch(name);
      kept.set(name, promise);
      promise.catch(() => kept.delete(name));
    }
    return kept.get(name);
  };

  const place = (atlas, layer) => `${atlas}/${P.book.atlases[atlas].layers.findIndex((one) => one.name === layer)}`;
  const small = (atlas, layer) => P.book.atlases[atlas].layers.find((one) => one.name === layer)?.small; // pictures are tiles
  const shard = (unit) => Math.floor(unit / P.book.shard_units);

  P.data = {
    book: async () => { P.book = await ask("book"); return P.book; },
    layer: (atlas, layer) => ask(`${place(atlas, layer)}/layer`),
    /** Everything about one unit. A static site keeps them by the shard. */
    unit: async (atlas, layer, unit) => {
      if (!P.isStatic) return ask(`${place(atlas, layer)}/unit/${unit}`);
      const found = (await ask(`${place(atlas, layer)}/units-${shard(unit)}`))[unit];
      if (!found) throw new Error(`the atlas holds no unit ${unit} of ${layer}`);
      return found;
    },
    names: () => ask("names"),
    notes: () => ask("notes"),
    /** Units whose pictures look like this one's; null where nothing is known. */
    alike: async (atlas, layer, unit) =>
      (P.isStatic ? (await P.data.unit(atlas, layer, unit)).alike : ask(`${place(atlas, layer)}/alike/${unit}`)),
    thumb: (atlas, layer, unit) => P.isStatic
      ? `${root}${small(atlas, layer) ? "pictures" : "thumbs"}/${place(atlas, layer)}/${shard(unit)}/${unit}.webp`
      : `${root}thumb/${place(atlas, layer)}/${unit}?${P.book.token}`,
    /* The token is of this start of the viewer: what a browser kept of another atlas is not shown for this one. */
    picture: (name) => (P.isStatic ? `${root}${name}` : `${root}${name}?${P.book.token}`),
  };

  /** Sends JSON; the header says that a page of the viewer sent it, which no other site can. */
  P.send = async (method, name, value) => {
    const answer = await fetch(`${root}${name}`, {
      method,
      headers: { "Content-Type": "application/json", "X-Pellucid": "1" },
      body: value === undefined ? undefined : JSON.stringify(value),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.error || `the viewer answered ${answer.status}`);
    return said;
  };
  P.events = (name) => new EventSource(`${root}${name}`);
})();

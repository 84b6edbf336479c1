/* Which units of a layer are shown, and in which order: read from the address, so that a view can be shared. */
"use strict";

(() => {
  const GOOD = ["done", "converged"];

  /** Every way to sort: the unit's number, its name, then what the atlas and its tables measured. */
  P.columns = (layer) => [
    { key: "unit", title: "number", values: layer.units },
    ...(layer.labels.some(Boolean) ? [{ key: "label", title: "name", values: layer.labels }] : []),
    ...layer.columns,
  ];

  P.tagsOf = (notes, layer, unit) => notes[`${layer}:${unit}`]?.tags || [];

  const compared = (a, b) => {
    const [missingA, missingB] = [a === null || a === undefined || a !== a, b === null || b === undefined || b !== b];
    if (missingA || missingB) return missingA - missingB ? null : 0;
    return typeof a === "string" ? a.localeCompare(b) : a - b;
  };

  /** Positions in `layer.units`, filtered and sorted as the query says. What has no value comes last either way. */
  P.order = (layer, query, notes) => {
    const columns = P.columns(layer);
    const by = columns.find((column) => column.key === (query.get("sort") || "unit")) || columns[0];
    const range = columns.find((column) => column.key === query.get("of"));
    const [least, most] = ["from", "to"].map((name) => (query.get(name) ? Number(query.get(name)) : null));
    const words = (query.get("q") || "").toLowerCase();
    const status = query.get("status");
    const tag = query.get("tag");
    const passes = (at) => {
      if (status === "good" && !GOOD.includes(layer.status[at])) return false;
      if (status === "bad" && GOOD.includes(layer.status[at])) return false;
      if (tag && !P.tagsOf(notes, layer.name, layer.units[at]).includes(tag)) return false;
      if (words && !`${layer.units[at]} ${layer.labels[at] || ""}`.toLowerCase().includes(words)) return false;
      if (!range || (least === null && most === null)) return true;
      const value = range.values[at];
      return typeof value === "number" && (least === null || value >= least) && (most === null || value <= most);
    };
    const positions = layer.units.map((_, at) => at).filter(passes);
    const sign = query.get("down") ? -1 : 1;
    positions.sort((a, b) => {
      const difference = compared(by.values[a], by.values[b]);
      if (difference === null) return by.values[a] === null || by.values[a] === undefined || by.values[a] !== by.values[a] ? 1 : -1;
      return sign * difference || layer.units[a] - layer.units[b];
    });
    return { positions, by };
  };

  /* The units as the layer's page last showed them: what "next" means on a unit's page. */
  P.walk = { layer: null, units: [] };
})();

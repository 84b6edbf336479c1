/* How the atlas was made, and the keys. */
"use strict";

(() => {
  const { h } = P;
  const KEYS = [
    ["/", "search"], ["?", "this page"], ["g", "all layers"], ["u", "up: from a unit to its layer, from a layer to all"],
    ["← →", "the unit or layer before and after (in the order last shown)"], ["f", "the first tile of a grid; then arrows, Home, End, Enter"],
    ["r", "render more like this"], ["n", "write a note"], ["s", "units like this one"], ["t", "light, dark, or as the system"], ["Esc", "leave a field"],
  ];

  P.views.about = (view) => {
    const atlas = P.book.atlases[P.book.main];
    P.title("How it was made");
    P.fill(view, h("h1", {}, "How it was made"),
      h("div", { class: "prose" },
        h("p", {}, "Each picture is one image that excites a unit strongly, found by gradient ascent from noise. Another start gives another picture; a unit that answers to several things shows one of them, or a mixture."),
        h("p", {}, "A high score is no explanation. Look at several units, several starts and real photos before you believe one.")),
      P.book.atlases.map((one, index) => h("section", { class: "part" }, P.book.atlases.length > 1 && h("h2", {}, one.name, one.step !== null && `, step ${one.step}`, index === P.book.main && " (shown)"),
        h("dl", { class: "facts-list" }, one.facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])))),
      atlas.damaged.length > 0 && h("p", { class: "fault" }, `${P.count(atlas.damaged.length, "shard")} of this atlas cannot be read; its pictures are missing (pellucid atlas repair): ${atlas.damaged.join(", ")}`));
  };

  P.help = () => {
    const dialog = document.getElementById("keys");
    if (dialog.open) { dialog.close(); return; }
    P.fill(dialog, h("h2", { id: "keys-title" }, "Keys"),
      h("dl", { class: "keys" }, KEYS.flatMap(([key, does]) => [h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, does)])),
      h("p", { class: "quiet" }, "Search takes a unit (mixed4a:12), a number, a layer, a name and a #tag."),
      h("form", { method: "dialog" }, h("button", { class: "strong" }, "Close")));
    dialog.showModal();
  };
})();

/* The same unit at several moments of a training run, with a slider through them. */
"use strict";

(() => {
  const { h } = P;

  P.scrubber = (layer, unit) => {
    const steps = P.book.checkpoints;
    if (steps.length < 2) return null;
    const atlases = steps.map((index) => P.book.atlases[index]);
    const image = h("img", { alt: "", width: 160, height: 160 });
    const words = h("output", { for: "moment" });
    const curve = h("div", {});
    const scores = [];
    const slider = h("input", {
      id: "moment", type: "range", min: 0, max: steps.length - 1, step: 1, value: steps.length - 1, oninput: () => show(Number(slider.value)),
    });
    const show = (at) => {
      image.src = P.data.thumb(steps[at], layer, unit);
      image.alt = `${layer}:${unit} at step ${atlases[at].step}`;
      const score = scores[at] === undefined ? "" : `, score ${P.number(scores[at])}`;
      words.textContent = `step ${P.number(atlases[at].step)}${score}`;
      slider.setAttribute("aria-valuetext", words.textContent);
    };
    let timer = 0;
    const play = h("button", { type: "button", onclick: () => {
      if (timer) { clearInterval(timer); timer = 0; play.textContent = "Play"; return; }
      play.textContent = "Stop";
      timer = setInterval(() => {
        if (!slider.isConnected) { clearInterval(timer); return; }
        slider.value = (Number(slider.value) + 1) % steps.length;
        show(Number(slider.value));
      }, 500);
    } }, "Play");
    Promise.all(steps.map((index) => P.data.layer(index, layer).catch(() => null))).then((layers) => {
      layers.forEach((found, at) => {
        new Image().src = P.data.thumb(steps[at], layer, unit); // there when the slider comes to it
        const row = found ? found.units.indexOf(unit) : -1;
        scores[at] = row < 0 ? NaN : found.columns[0].values[row];
      });
      P.fill(curve, P.line(scores, `Score over ${steps.length} checkpoints, from ${P.number(scores[0])} to ${P.number(scores.at(-1))}`));
      show(Number(slider.value));
    });
    show(steps.length - 1);
    return h("section", { class: "scrubber" }, h("h2", {}, "In training"),
      h("div", { class: "row" }, image, h("div", { class: "grow" }, curve,
        h("label", { class: "hidden", for: "moment" }, "Step of the training run"), slider,
        h("div", { class: "row" }, play, words))));
  };
})();

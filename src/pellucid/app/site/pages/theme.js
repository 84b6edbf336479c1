/* Light, dark, or as the machine has it: chosen before the first paint, so that nothing flashes. */
"use strict";
window.P = {};

(() => {
  const NAMES = { auto: "as the system", light: "light", dark: "dark" };
  const root = document.documentElement;

  const kept = () => {
    try { return localStorage.getItem("pellucid-theme") || "auto"; } catch { return "auto"; }
  };

  const wear = (name) => {
    if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
    const button = document.getElementById("theme");
    if (!button) return;
    button.textContent = { auto: "◐", light: "○", dark: "●" }[name];
    button.setAttribute("aria-label", `Colours: ${NAMES[name]}. Change`);
    button.title = `Colours: ${NAMES[name]} (t)`;
  };

  P.theme = {
    dress: () => wear(kept()),
    next: () => {
      const order = Object.keys(NAMES);
      const name = order[(order.indexOf(kept()) + 1) % order.length];
      try { localStorage.setItem("pellucid-theme", name); } catch { /* a browser that keeps nothing */ }
      wear(name);
    },
  };
  wear(kept());
})();

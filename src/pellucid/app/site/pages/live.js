/* New pictures of a unit, made now by the viewer's worker: begun, watched as they grow, and stopped from the page. */
"use strict";

(() => {
  const { h } = P;

  const WAYS = [
    ["again", "More like this", "another start, so another picture of the same"],
    ["diverse", "A diverse set", "four pictures that are pushed apart"],
    ["negative", "The opposite", "what the unit is least like"],
    ["strongest", "One strong spot", "by its strongest position, not the mean of all"],
  ];

  /** One job's row: what it is, how far it is, its pictures, and the button that stops it. */
  const follow = (list, job) => {
    const bar = h("progress", { max: 1, value: 0, "aria-label": `Progress of ${job.title}` });
    const words = h("p", { class: "quiet" }, "waiting");
    const pictures = h("div", { class: "made" });
    const stop = h("button", { type: "button", onclick: () => P.send("DELETE", `jobs/${job.id}`).catch((error) => { words.textContent = error.message; }) }, "Stop");
    const row = h("li", { class: "job", "data-state": job.state }, h("p", { class: "name" }, h("b", {}, job.title), ` ${job.target}`), bar, words, stop, pictures);
    list.prepend(row);
    const show = (images, about) => P.fill(pictures, images.map((one) => h("figure", {}, h("img", { src: one.src, alt: about, width: 160, height: 160 }),
      one.score !== undefined && h("figcaption", {}, `score ${P.number(one.score)}`, one.status && h("span", {}, one.status)))));
    const events = P.events(`jobs/${job.id}/events`);
    const end = (state, text) => {
      events.close();
      row.dataset.state = state;
      bar.remove();
      stop.remove();
      words.textContent = text;
    };
    events.onmessage = (message) => {
      const event = JSON.parse(message.data);
      row.dataset.state = event.state;
      if (event.state === "queued") words.textContent = event.ahead ? `waiting behind ${P.count(event.ahead, "other")}` : "waiting for the network to load";
      if (event.state === "running") {
        bar.value = event.fraction;
        words.textContent = event.text;
        if (event.previews) show(event.previews.map((src) => ({ src })), `${job.target}, unfinished`);
      }
      if (event.pictures) show(event.pictures, job.target);
      if (event.state === "done") { end("done", event.text); P.say(`${job.title} of ${job.target}: done`); }
      if (event.state === "cancelled") end("cancelled", event.pictures ? "stopped; this is what there was" : "stopped");
      if (event.state === "failed") end("failed", event.text);
    };
    events.onerror = () => { if (events.readyState === EventSource.CLOSED) end("failed", "the viewer no longer answers"); };
  };

  P.workbench = (data) => {
    if (P.isStatic) return null;
    const part = (...content) => h("section", { class: "workbench" }, h("h2", {}, "Make another picture"), content);
    if (!P.book.live.can) return part(h("p", { class: "quiet" }, P.book.live.why));
    const list = h("ul", { class: "jobs", "aria-live": "polite" });
    const fault = h("p", { class: "fault", role: "alert" });
    const steps = h("input", { id: "steps", type: "number", min: 1, max: 2048, value: P.book.live.steps });
    const seed = h("input", { id: "seed", type: "number", min: 0, max: 4294967295, value: 1 });
    const target = h("input", { id: "target", type: "text", value: data.target, spellcheck: "false" });
    const start = async (way, what) => {
      fault.textContent = "";
      try {
        const job = await P.send("POST", "jobs", { way, target: what, steps: Number(steps.value), seed: Number(seed.value), unit: data.target });
        seed.value = Number(seed.value) + 1;
        follow(list, job);
      } catch (error) { fault.textContent = error.message; }
    };
    fetch(`${document.documentElement.dataset.root}jobs?unit=${encodeURIComponent(data.target)}`).then((answer) => answer.json())
      .then((jobs) => jobs.forEach((job) => follow(list, job))).catch(() => {});
    return part(
      h("div", { class: "row ways" }, WAYS.map(([way, title, about]) => h("button", { type: "button", title: about, "data-way": way, onclick: () => start(way, data.target) }, title))),
      h("details", {}, h("summary", {}, "Steps, seed, any other target"),
        h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); start("target", target.value); } },
          h("label", { class: "choice", for: "steps" }, h("span", {}, "steps"), steps),
          h("label", { class: "choice", for: "seed" }, h("span", {}, "seed"), seed),
          h("label", { class: "choice grow", for: "target" }, h("span", {}, "target, such as logit:goldfish"), target),
          h("button", { type: "submit" }, "Render"))),
      fault, list);
  };
})();

/* A unit's page: its pictures, how it stands in its layer, and all that the tables beside the atlas know of it. */
"use strict";

(() => {
  const { h } = P;
  const TITLES = { picture: "most", negative: "least", diverse: "diverse" };
  const ABOUT = {
    picture: "what excites it most",
    negative: "what it is least like",
    diverse: "one of several that differ from each other",
  };

  const ended = (one) => {
    const woken = one.rescue ? `, woken by ${one.rescue}` : "";
    return one.error ? `${one.status}: ${one.error}` : `${one.status} after ${P.count(one.steps, "step")}${woken}`;
  };

  /** The large picture, and all others below it; choosing one shows it large. */
  const portrait = (data) => {
    const large = h("div", { class: "large" });
    const words = h("p", { class: "quiet" });
    const buttons = [];
    const choose = (index) => {
      const one = data.pictures[index];
      const about = `${data.target}: ${ABOUT[one.view]}`;
      P.fill(large, one.src
        ? h("a", { href: P.data.picture(one.src), target: "_blank", title: "The picture by itself" },
          P.image(P.data.picture(one.src), about, [one.height, one.width]))
        : h("p", { class: "nothing" }, "No picture: ", ended(one)));
      words.textContent = [ABOUT[one.view], `score ${P.number(one.score)}`, ended(one)].join(" · ");
      buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === index)));
    };
    if (data.pictures.length > 1) {
      data.pictures.forEach((one, index) => buttons.push(h("button", { type: "button", class: "view", onclick: () => choose(index) },
        one.src && P.image(P.data.picture(one.src), "", [one.height, one.width]),
        h("span", {}, one.view === "diverse" ? `${TITLES.diverse} ${one.member + 1}` : TITLES[one.view]))));
    }
    choose(0);
    return h("div", { class: "portrait" }, large, words, buttons.length > 0 && h("div", { class: "views", role: "group", "aria-label": "Pictures of this unit" }, buttons));
  };

  /** Each number, and where it lies among those of the layer. */
  const measures = (data, layer) => {
    const rows = data.measures.filter((one) => one.value !== null).map((one) => {
      const column = layer.columns.find((other) => other.key === one.key);
      const all = column ? column.values.filter((value) => typeof value === "number") : [];
      const values = all.every((value) => value === all[0]) ? [] : all; // equal for all units: nothing to stand among
      const below = values.filter((value) => value < one.value).length;
      const rank = values.length > 1 ? `more than ${Math.round((100 * below) / (values.length - 1))} % of the layer` : "";
      return h("tr", {},
        h("th", { scope: "row", title: one.about || null }, one.title),
        h("td", { class: "number" }, P.number(one.value)),
        h("td", {}, P.standing(values, one.value, `${one.title} ${P.number(one.value)}${rank && `, ${rank}`}`)),
        h("td", { class: "quiet rank" }, rank));
    });
    const texts = data.texts.map((one) => h("tr", {},
      h("th", { scope: "row", title: one.about || null }, one.title), h("td", { colspan: 3 }, one.value)));
    return h("table", { class: "measures" }, h("caption", { class: "hidden" }, "What was measured of this unit"), h("tbody", {}, rows, texts));
  };

  const section = (title, about, ...content) => h("section", { class: "part" },
    h("h2", {}, title), about && h("p", { class: "quiet" }, P.sentence(about)), content);

  const examples = (group) => section(group.title, group.about, h("ul", { class: "examples" }, group.items.map((one) => h("li", {},
    h("figure", {}, P.image(P.data.picture(one.src), one.caption || "a picture of the data set"),
      h("figcaption", {}, P.number(one.value), one.caption && h("span", { title: one.caption }, one.caption)))))));

  const strip = (group, items, data) =>
    items.length > 0 && P.strip(items.map((one) => ({ ...one, note: P.number(one.value), named: true })), `${group.title} of ${data.target}`);

  /* Weights up and down are rows of their own. */
  const related = (group, data) => section(group.title, group.about, group.is_wiring
    ? [strip(group, group.items.filter((one) => one.value >= 0), data), strip(group, group.items.filter((one) => one.value < 0), data)]
    : strip(group, group.items, data));

  /* Comes after the page: the pictures of the whole atlas are looked at when it is first asked for. */
  const alike = (data) => {
    const place = h("div", {});
    P.data.alike(P.book.main, data.layer, data.unit).then((group) => {
      if (!group) return;
      place.append(related({ ...group, items: group.items.slice(0, 14) }, data),
        h("p", { class: "links more" }, h("a", { href: P.href(P.to.like(data.layer, data.unit)) }, "More units like this one")));
    }).catch((error) => place.append(h("p", { class: "fault" }, error.message)));
    return place;
  };

  const provenance = (data) => h("details", { class: "part provenance" },
    h("summary", {}, h("h2", {}, "Where this comes from")),
    h("dl", {}, data.provenance.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))])));

  const across = (data, layer) => {
    if (P.book.compare === null) return null;
    const other = P.book.atlases[P.book.compare];
    const known = other.layers.find((one) => one.name === data.layer);
    if (!known || !P.has(known, data.unit)) return null;
    const place = h("div", { class: "across" });
    P.data.unit(P.book.compare, data.layer, data.unit).then((twin) => P.fill(place, [data, twin].map((one, index) => {
      const first = one.pictures[0];
      return h("figure", {}, first?.src ? P.image(P.data.picture(first.src), `${one.target} in ${index ? other.side : "this atlas"}`, [first.height, first.width]) : h("p", { class: "nothing" }, "no picture"),
        h("figcaption", {}, h("b", {}, P.book.atlases[index ? P.book.compare : P.book.main].side), ` score ${P.number(first?.score)}`));
    }))).catch((error) => P.fill(place, h("p", { class: "quiet" }, error.message)));
    return section(`Beside ${other.side}`, "The same unit in both atlases.", place);
  };

  const neighbours = (layer, unit) => {
    const units = P.walk.layer === layer.name && P.walk.units.includes(unit) ? P.walk.units : layer.units;
    const at = units.indexOf(unit);
    return [units[at - 1], units[at + 1]];
  };

  P.views.unit = async (view, { layer: name, unit }, page) => {
    const [data, layer, notes] = await page.ready(Promise.all([P.data.unit(P.book.main, name, unit), P.data.layer(P.book.main, name), P.data.notes()]));
    P.title(data.label ? `${data.target} ${data.label}` : data.target);
    const [before, after] = neighbours(layer, unit);
    page.beside = [before, after].map((one) => (one === undefined ? null : P.to.unit(name, one)));
    P.fill(view,
      h("div", { class: "head" },
        h("div", {}, h("h1", {}, data.target), data.label && h("p", { class: "lead" }, data.is_class ? data.label : `Most often strong on: ${data.label}`)),
        h("nav", { class: "pager", "aria-label": "Units" },
          before !== undefined && h("a", { rel: "prev", href: P.href(P.to.unit(name, before)) }, `← ${before}`),
          after !== undefined && h("a", { rel: "next", href: P.href(P.to.unit(name, after)) }, `${after} →`))),
      h("div", { class: "unit" },
        portrait(data),
        h("div", { class: "facts" },
          measures(data, layer),
          P.scrubber(name, unit),
          P.workbench(data),
          P.notebook(data, notes))),
      across(data, layer),
      data.examples.map(examples),
      data.histograms.map((one) => section(one.title, null, P.histogram(one.counts, one.edges, one.about))),
      data.links.map((group) => related(group, data)),
      alike(data),
      provenance(data));
  };
})();

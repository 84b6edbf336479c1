/* Notes and tags of a unit, kept beside the atlas; and the page that lists them all. */
"use strict";

(() => {
  const { h } = P;

  const chips = (tags) => h("ul", { class: "tags", "aria-label": "Tags" }, tags.map((tag) => h("li", {}, h("a", { href: P.href(P.to.search(`#${tag}`)) }, `#${tag}`))));

  P.notebook = (data, notes) => {
    const own = notes[data.target] || { note: "", tags: [] };
    const place = h("section", { class: "notebook", "aria-label": "Notes and tags" });

    const reading = () => P.fill(place,
      h("h2", {}, "Notes"),
      own.note ? h("p", { class: "note" }, own.note) : h("p", { class: "quiet" }, P.book.notes.can ? "Nothing noted yet." : "Nothing noted."),
      own.tags.length > 0 && chips(own.tags),
      P.book.notes.can
        ? h("button", { type: "button", id: "write-note", onclick: writing }, own.note || own.tags.length ? "Change" : "Write a note")
        : P.book.notes.why && h("p", { class: "quiet" }, P.book.notes.why));

    const writing = () => {
      const note = h("textarea", { id: "note", rows: 4, maxlength: 10000 });
      note.value = own.note;
      const tags = h("input", { id: "tags", type: "text", value: own.tags.join(", "), placeholder: "curve detector, check again" });
      const fault = h("p", { class: "fault", role: "alert" });
      const save = async (event) => {
        event.preventDefault();
        try {
          Object.assign(own, await P.send("PUT", `notes/${encodeURIComponent(data.target)}`, {
            note: note.value, tags: tags.value.split(",").map((tag) => tag.trim().replace(/^#/, "")).filter(Boolean),
          }));
          notes[data.target] = own;
          reading();
          P.say("Saved");
          document.getElementById("write-note").focus();
        } catch (error) { fault.textContent = error.message; }
      };
      P.fill(place, h("h2", {}, "Notes"), h("form", { onsubmit: save, onkeydown: (event) => { if (event.key === "Escape") { event.stopPropagation(); reading(); } } },
        h("label", { for: "note" }, "What you see in it"), note,
        h("label", { for: "tags" }, "Tags, with commas between"), tags, fault,
        h("div", { class: "row" }, h("button", { type: "submit", class: "strong" }, "Save"), h("button", { type: "button", onclick: reading }, "Leave as it was"))));
      note.focus();
    };
    reading();
    return place;
  };

  P.views.notes = async (view, wanted, page) => {
    const notes = await page.ready(P.data.notes());
    const names = Object.keys(notes).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const tags = [...new Set(names.flatMap((name) => notes[name].tags))].sort();
    P.title("Notes");
    P.fill(view, h("h1", {}, "Notes and tags"),
      h("p", { class: "lead" }, names.length ? `${P.count(names.length, "unit")} with notes or tags.` : P.book.notes.can ? "Nothing noted yet: write on a unit's page." : "Nothing was noted."),
      tags.length > 0 && chips(tags),
      h("ul", { class: "noted" }, names.map((name) => {
        const at = name.lastIndexOf(":");
        const [layer, unit] = [name.slice(0, at), Number(name.slice(at + 1))];
        const { element, load } = P.tile({ layer, unit, named: true });
        load();
        return h("li", {}, element, h("div", {}, h("p", { class: "note" }, notes[name].note), chips(notes[name].tags)));
      })));
  };
})();

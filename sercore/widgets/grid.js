// Buttons in a table, of which several can be chosen: see grid.Grid.
const isAmong = (places, [row, column]) => places.some(([r, c]) => r === row && c === column);

function render({ model, el }) {
  el.classList.add("sercore-grid");
  el.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to this
  const get = (name) => model.get(name);
  let cells = [];

  /** Choose `places`; with `more`, besides what is chosen: those that all are already are taken away. */
  const choose = (places, more) => {
    const before = get("chosen");
    const others = before.filter((place) => !isAmong(places, place));
    const all = places.every((place) => isAmong(before, place));
    model.set("chosen", !more ? places : all ? others : [...others, ...places]);
    model.save_changes();
  };

  const button = (text, title, places, kind) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = kind;
    made.textContent = text;
    made.title = title;
    made.addEventListener("click", (event) => choose(places, event.ctrlKey || event.metaKey || event.shiftKey));
    return made;
  };

  const header = (text, scope, places) => {
    const made = document.createElement("th");
    made.scope = scope;
    made.append(button(text, `choose all of ${text}; with ctrl: besides what is chosen`, places, "label"));
    return made;
  };

  const build = () => {
    const [rows, columns] = [get("rows"), get("columns")];
    const table = document.createElement("table");
    table.setAttribute("aria-label", get("label"));
    const head = table.insertRow();
    const corner = document.createElement("th");
    corner.className = "corner";
    corner.textContent = get("corner");
    head.append(corner, ...columns.map((name, c) => header(name, "col", rows.map((_, r) => [r, c]))));
    cells = rows.map((name, r) => {
      const line = table.insertRow();
      line.append(header(name, "row", columns.map((_, c) => [r, c])));
      return columns.map((_, c) => {
        const made = button("", "", [[r, c]], "sercore-cell");
        line.insertCell().append(made);
        return made;
      });
    });
    const sets = document.createElement("div");
    sets.className = "sets";
    sets.append(...Object.entries(get("sets")).map(([name, places]) => button(name, `choose ${name}`, places, "set")));
    el.classList.toggle("low", get("low"));
    el.replaceChildren(table, sets);
    const buttons = [...el.querySelectorAll("button")];
    buttons.forEach((one) => (one.tabIndex = -1));
    if (cells.length) cells[0][0].tabIndex = 0; // one stop of the tab key; arrows move from there
    draw();
  };

  const draw = () => {
    get("cells").forEach((line, r) =>
      line.forEach(([text, title, background, colour], c) => {
        const one = cells[r]?.[c];
        if (!one) return; // cells of the next labels, which come with them
        Object.assign(one, { textContent: text, title });
        Object.assign(one.style, { background, color: colour });
        one.setAttribute("aria-label", title);
      }),
    );
    drawChosen();
  };

  const drawChosen = () =>
    cells.forEach((line, r) =>
      line.forEach((one, c) => one.setAttribute("aria-pressed", isAmong(get("chosen"), [r, c]))),
    );

  el.addEventListener("focusin", (event) => {
    el.querySelectorAll("button").forEach((one) => (one.tabIndex = one === event.target ? 0 : -1));
  });
  el.addEventListener("keydown", (event) => {
    const more = event.ctrlKey || event.metaKey || event.shiftKey;
    if (more && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      event.target.dispatchEvent(new MouseEvent("click", { ctrlKey: true }));
      return;
    }
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
    if (!down && !right) return;
    event.preventDefault();
    const lines = [...el.querySelectorAll("tr, .sets")].map((line) => [...line.querySelectorAll("button")]);
    lines[0].unshift(null); // the corner
    const r = lines.findIndex((line) => line.includes(event.target));
    const c = lines[r].indexOf(event.target);
    const next = lines[r + down]?.[Math.min(c + right, lines[r + down].length - 1)];
    next?.focus();
  });

  for (const name of ["rows", "columns", "sets", "corner", "low", "label"]) model.on(`change:${name}`, build);
  model.on("change:cells", draw);
  model.on("change:chosen", drawChosen);
  build();
}

export default { render };

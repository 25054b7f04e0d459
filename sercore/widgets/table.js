// A table of many rows, of which only those in sight are drawn: see table.Table.
const HEIGHT = 28; // of a row [px]
const SPARE = 6; // rows that are drawn above and below those in sight
const SAMPLE = 500; // rows from which the widths of the columns are guessed
const [NARROWEST, WIDEST] = [7, 46]; // of a column [characters]
const NUMBER = "-?(?:\\d+\\.?\\d*|\\.\\d+)";
const RANGE = new RegExp(`^(?:(>=|<=|>|<|=)?\\s*(${NUMBER})|(${NUMBER})?\\s*\\.\\.\\s*(${NUMBER})?)$`);
const HINTS = {
  text: "a part of the text, whatever its case",
  choice: "one of its values",
  number: "a number or a range: 3, >3, <=3, 1..2",
};
let tables = 0; // on this page, for unique ids

// JupyterLab leaves the keys to the lists of a browser, whose output holds such a table: arrows choose an option there, not
// another cell of the notebook.
document.addEventListener("focusin", ({ target }) => {
  if (target.matches("select") && target.closest(".jp-OutputArea-output")?.querySelector(".sercore-table"))
    target.dataset.lmSuppressShortcuts = "true";
});

/** Whether a number, as it is shown with `digits`, is in the range that `text` says; null where it says none. */
function inRange(text, digits) {
  const found = RANGE.exec(text.trim().replaceAll("−", "-"));
  if (!found || text.trim() === "..") return null;
  const [sign, number, low, high] = [found[1] ?? "=", ...[2, 3, 4].map((part) => found[part] && Number(found[part]))];
  if (found[2] === undefined) return (value) => value >= (low ?? -Infinity) && value <= (high ?? Infinity);
  const half = 0.5 * 10 ** -digits + 1e-9;
  return {
    "=": (value) => Math.abs(value - number) < (found[2].includes(".") ? 1e-9 : half),
    ">": (value) => value > number,
    "<": (value) => value < number,
    ">=": (value) => value >= number,
    "<=": (value) => value <= number,
  }[sign];
}

/** A column as it was sent, with its values as an array, and `print(row)`, what a cell of it shows. */
function unpack({ title, kind, digits, values, names }) {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (kind !== "number") {
    const texts = names
      ? Array.from(new Int32Array(bytes.slice().buffer), (code) => names[code] ?? "")
      : JSON.parse(new TextDecoder().decode(bytes));
    return { title, kind, values: texts, print: (row) => texts[row] };
  }
  const numbers = new Float64Array(bytes.slice().buffer);
  const print = (row) => (Number.isNaN(numbers[row]) ? "" : numbers[row].toFixed(digits).replace("-", "−"));
  return { title, kind, digits, values: numbers, print };
}

/** The order of two values; what is not known comes last, whichever way. */
function compare(one, other, sign) {
  const [first, second] = [one === "" || one !== one, other === "" || other !== other];
  if (first || second) return first - second;
  return one < other ? -sign : one > other ? sign : 0;
}

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const id = `sercore-table-${++tables}`;
  el.classList.add("sercore-table");
  el.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to this
  const search = make("input", { type: "search", placeholder: "search", "aria-label": "search in all texts" });
  const count = make("span", { class: "found", role: "status" });
  const bar = make("div", { class: "bar" }, search, count);
  const head = make("div", { role: "row", class: "head", "aria-rowindex": 1 });
  const lines = make("div", { role: "rowgroup", class: "lines" });
  const all = make("div", { role: "presentation", class: "all" }, lines);
  const grid = make("div", { role: "grid", tabindex: 0, class: "grid", "aria-multiselectable": "true" });
  grid.append(make("div", { role: "rowgroup", class: "heads" }, head), all);
  grid.title = "arrows open the next or previous row, space plays it; with ctrl or shift, several rows are selected";
  el.replaceChildren(bar, grid);

  let columns = [];
  let size = 0; // rows of the table
  let order = []; // of all rows
  let found = []; // those that are found, in their order
  let places = new Map(); // row -> its place among those found, made when it is asked for
  let texts = null; // of each row what is searched, made at the first search
  let [active, anchor] = [-1, -1]; // rows: where the arrows go on, and where a range begins
  let selected = new Set();
  let marked = new Set();

  const save = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const button = (text, act) => {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", act);
    return made;
  };
  const clear = button("show all", () => {
    model.set("filters", {});
    save("search", "");
  });
  bar.append(
    button("select all that are found", () => select(found.slice())),
    button("select none", () => select([])),
    clear,
  );

  const placeOf = (row) => {
    if (!places.size) found.forEach((each, place) => places.set(each, place));
    return places.get(row) ?? -1;
  };

  /** The titles, each with its filter, and the widths of the columns. */
  const build = () => {
    columns = get("columns").map(unpack);
    size = columns[0]?.values.length ?? 0;
    [texts, active, anchor] = [null, -1, -1];
    const step = Math.max(1, Math.floor(size / SAMPLE));
    const widths = columns.map(({ title, kind, print }) => {
      let most = Math.max(NARROWEST, title.length + 3);
      for (let row = 0; row < size; row += step) most = Math.max(most, print(row).length + 2);
      return kind === "choice" ? Math.max(most, 11) : Math.min(most, WIDEST);
    });
    const tracks = widths.map((width) => `minmax(${Math.min(width, 30)}ch, ${width}fr)`);
    el.style.setProperty("--sercore-tracks", tracks.join(" "));
    el.style.setProperty("--sercore-width", `${widths.reduce((sum, width) => sum + Math.min(width, 30), 0)}ch`);
    head.replaceChildren(
      ...columns.map((column, place) => {
        const { title, kind } = column;
        const sort = button(title, () => turn(title));
        sort.className = "title";
        const field = make(kind === "choice" ? "select" : "input", { "aria-label": `filter ${title}`, title: HINTS[kind] });
        if (kind === "choice") {
          const values = [...new Set(column.values)].sort();
          field.append(make("option", { value: "" }, "all"));
          field.append(...values.filter((value) => value !== "").map((value) => make("option", { value }, value)));
        } else field.placeholder = kind === "number" ? "1..2" : "filter";
        field.addEventListener(kind === "choice" ? "change" : "input", () => filter(title, field.value));
        const made = make("div", { role: "columnheader", "aria-label": title, class: kind, "aria-colindex": place + 1 });
        made.append(sort, field);
        return made;
      }),
    );
    grid.setAttribute("aria-label", get("label"));
    grid.setAttribute("aria-colcount", columns.length);
    grid.scrollTop = 0;
    lines.replaceChildren();
    sort();
  };

  const filter = (title, text) => {
    const { [title]: _, ...others } = get("filters");
    save("filters", text ? { ...others, [title]: text } : others);
  };
  const turn = (title) => {
    const [by, way] = get("order");
    save("order", by !== title ? [title, "ascending"] : way === "ascending" ? [title, "descending"] : []);
  };

  /** All rows in the order that is asked for; then those that are found. */
  const sort = () => {
    const [by, way] = get("order");
    const column = columns.find(({ title }) => title === by);
    order = Uint32Array.from({ length: size }, (_, row) => row);
    if (column) {
      const sign = way === "ascending" ? 1 : -1;
      order.sort((one, other) => compare(column.values[one], column.values[other], sign) || one - other);
    }
    [...head.children].forEach((made, place) =>
      made.setAttribute("aria-sort", columns[place] === column ? way : "none"),
    );
    find();
  };

  const conditions = () => {
    const made = [];
    const word = get("search").trim().toLowerCase();
    if (word) {
      const searched = columns.filter(({ kind }) => kind !== "number");
      texts ??= Array.from({ length: size }, (_, row) => searched.map(({ values }) => values[row]).join("\n").toLowerCase());
      made.push((row) => texts[row].includes(word));
    }
    columns.forEach(({ title, kind, digits, values }, place) => {
      const text = get("filters")[title] ?? "";
      const field = head.children[place].querySelector("input, select");
      if (field.value !== text) field.value = text;
      field.removeAttribute("aria-invalid");
      if (!text.trim()) return;
      if (kind === "choice") return made.push((row) => values[row] === text);
      if (kind === "text") {
        const part = text.trim().toLowerCase();
        return made.push((row) => values[row].toLowerCase().includes(part));
      }
      const inside = inRange(text, digits);
      if (inside) return made.push((row) => inside(values[row]));
      field.setAttribute("aria-invalid", "true"); // as while it is typed
    });
    return made;
  };

  const find = () => {
    if (search.value !== get("search")) search.value = get("search");
    const holds = conditions();
    found = holds.length ? Array.from(order).filter((row) => holds.every((one) => one(row))) : Array.from(order);
    places = new Map();
    const number = (n) => (n ? n.toLocaleString("en") : "no");
    count.textContent = `${number(found.length)} ${get("noun")}` + (found.length < size ? ` of ${number(size)}` : "");
    clear.hidden = !holds.length;
    grid.setAttribute("aria-rowcount", found.length + 1);
    all.style.height = `${HEIGHT * found.length}px`;
    draw();
  };

  /** The rows that are in sight; their elements stay, so that a click that is under way finds its row. */
  const draw = () => {
    const room = grid.clientHeight - head.offsetHeight;
    const first = Math.max(0, Math.floor(grid.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(found.length, Math.ceil((grid.scrollTop + Math.max(room, HEIGHT)) / HEIGHT) + SPARE);
    while (lines.children.length > Math.max(0, last - first)) lines.lastChild.remove();
    while (lines.children.length < last - first) {
      const cells = columns.map(({ kind }, n) => make("div", { role: "gridcell", class: kind, "aria-colindex": n + 1 }));
      lines.append(make("div", { role: "row" }, ...cells));
    }
    lines.style.transform = `translateY(${HEIGHT * first}px)`;
    [...lines.children].forEach((line, n) => {
      const row = found[first + n];
      if (line.dataset.row !== String(row)) {
        line.id = `${id}-${row}`;
        line.dataset.row = row;
        columns.forEach(({ kind, print }, place) => {
          const [cell, text] = [line.children[place], print(row)];
          cell.textContent = text;
          if (kind === "number") return;
          cell.title = text;
        });
      }
      line.setAttribute("aria-rowindex", first + n + 2);
      line.setAttribute("aria-selected", selected.has(row));
      line.classList.toggle("active", row === active);
      line.classList.toggle("marked", marked.has(row));
    });
    const drawn = active >= 0 && lines.querySelector(".active");
    if (drawn) grid.setAttribute("aria-activedescendant", drawn.id);
    else grid.removeAttribute("aria-activedescendant");
  };
  let waits = false;
  const drawSoon = () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      draw();
    });
  };

  const scrollTo = (row) => {
    const place = placeOf(row);
    if (place < 0) return;
    const room = grid.clientHeight - head.offsetHeight;
    const top = HEIGHT * place;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + HEIGHT > grid.scrollTop + room) grid.scrollTop = top + HEIGHT - room;
  };

  const select = (rows) => {
    selected = new Set(rows);
    save("selected_rows", rows);
    drawSoon();
  };
  const range = (from, to) => {
    const [one, other] = [placeOf(from), placeOf(to)];
    return one < 0 ? [to] : found.slice(Math.min(one, other), Math.max(one, other) + 1);
  };
  /** Go to `row`; `more` adds it to what is selected or takes it away, `through` selects what lies between. */
  const go = (row, more, through) => {
    active = row;
    if (through) {
      const between = range(anchor, row);
      select(more ? [...new Set([...selected, ...between])] : between);
    } else {
      anchor = row;
      select(!more ? [row] : selected.has(row) ? [...selected].filter((one) => one !== row) : [...selected, row]);
    }
    scrollTo(row);
  };

  lines.addEventListener("click", (event) => {
    const line = event.target.closest("[role=row]");
    if (line) go(Number(line.dataset.row), event.ctrlKey || event.metaKey, event.shiftKey);
  });
  lines.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // it would mark text
  grid.addEventListener("keydown", (event) => {
    if (event.target !== grid) return; // a field or a title has its own keys
    if (event.key === " ") {
      event.preventDefault();
      grid.closest(".sercore-both")?.querySelector(".sercore-player .play")?.click();
      return;
    }
    if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      select(found.slice());
      return;
    }
    const now = placeOf(active);
    const page = Math.max(1, Math.floor((grid.clientHeight - head.offsetHeight) / HEIGHT) - 1);
    const keys = {
      ArrowDown: now + 1,
      ArrowUp: Math.max(0, now - 1),
      PageDown: now + page,
      PageUp: Math.max(0, now - page),
      Home: 0,
      End: found.length - 1,
    };
    if (keys[event.key] === undefined) return;
    event.preventDefault();
    if (found.length) go(found[Math.min(keys[event.key], found.length - 1)], false, event.shiftKey);
  });
  search.addEventListener("input", () => save("search", search.value));
  grid.addEventListener("scroll", drawSoon, { passive: true });

  const takeSelected = () => {
    const rows = get("selected_rows");
    selected = new Set(rows);
    if (rows.length === 1 && active !== rows[0]) {
      [active, anchor] = [rows[0], rows[0]];
      scrollTo(active);
    }
    drawSoon();
  };
  const takeMarked = () => {
    marked = new Set(get("marked"));
    drawSoon();
  };
  const on = { columns: build, order: sort, search: find, filters: find, selected_rows: takeSelected, marked: takeMarked };
  for (const [name, act] of Object.entries(on)) model.on(`change:${name}`, act);
  const resized = new ResizeObserver(drawSoon);
  resized.observe(grid);
  takeMarked();
  takeSelected();
  build();
  return () => {
    resized.disconnect();
    for (const [name, act] of Object.entries(on)) model.off(`change:${name}`, act);
  };
}

export default { render };

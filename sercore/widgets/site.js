// The page of a site: see site.py. Its tables lie in scripts of the folder data, which are loaded when they are needed.
import grid from "grid";
import player from "player";
import table from "table";

const find = (name) => document.querySelector(name);
const content = JSON.parse(find("#content").textContent);
const LEAST = 1 / 1000; // of a probability
const DIMENSIONS = ["arousal", "valence", "dominance"];

/** What a widget's script is given in a notebook: values, and whoever listens to their changes. */
class Model {
  constructor(values) {
    this.values = values;
    this.listeners = [];
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    this.values[name] = value;
    this.listeners.filter(([event]) => event === `change:${name}`).forEach(([, tell]) => tell());
  }
  on(event, tell) {
    this.listeners.push([event, tell]);
  }
  off(event, tell) {
    this.listeners = this.listeners.filter(([name, other]) => name !== event || other !== tell);
  }
  save_changes() {}
}

/** An element with `text` or other elements in it, which is never read as HTML. */
function made(kind, inside, of = {}) {
  const element = document.createElement(kind);
  element.append(...[inside].flat());
  return Object.assign(element, of);
}

const pathOf = (...names) => names.map(encodeURIComponent).join("/");
const taken = new Map();
globalThis.sercore = { take: (name, given) => taken.set(name, given) };

/** What the script `file` of the folder data gives under `name`. */
async function load(name, file) {
  if (!taken.has(name)) {
    const script = made("script", "", { src: pathOf("data", file) });
    await new Promise((done, failed) => {
      const lacking = new Error(`data/${file} is not beside this page: copy the whole folder`);
      Object.assign(script, { onload: done, onerror: () => failed(lacking) });
      document.head.append(script);
    });
  }
  return taken.get(name);
}

const shown = { pair: 0, section: 0, model: 0, cells: [] };
let [pair, rows, corpus, media] = [null, null, null, null]; // content of the page; of the scripts

const section = () => pair.sections[shown.section];
const has = (name) => Boolean(corpus[name]);

/** A drop-down list of `labels` under the name `label`. */
function list(label, name, labels) {
  const options = labels.map((text, value) => made("option", text, { value }));
  const select = made("select", options, { disabled: labels.length < 2 });
  select.value = shown[name];
  select.addEventListener("change", () => {
    shown[name] = Number(select.value);
    if (name !== "model") shown.cells = []; // those of other classes
    if (name === "pair") shown.section = 0;
    open().then(() => find(`[name=${name}]`).focus());
  });
  select.name = name;
  return made("label", [label, select]);
}

function drawChoices() {
  const lists = [list("trained → tested on", "pair", content.pairs.map((one) => one.label))];
  if (section()) {
    lists.push(list("section", "section", pair.sections.map((one) => one.label)));
    lists.push(list("model", "model", section().shown.map((one) => one.label)));
  }
  find(".choices").replaceChildren(...lists);
}

/** A model's name, with a square in its colour. */
const nameOf = (model) => [made("span", "■", { style: `color: ${model.colour}` }), ` ${model.label}, ${model.seed}`];

function drawGrid() {
  const all = find(".sercore-grids");
  all.replaceChildren();
  if (!section()) return;
  const model = section().shown[shown.model];
  const title = made("div", [...nameOf(model), model.score ? `, ${model.score}` : ""], { className: "sercore-title" });
  const matrix = new Model({ ...model.grid, chosen: shown.cells });
  const el = made("div", "");
  all.append(made("div", [title, el]));
  grid.render({ model: matrix, el });
  matrix.on("change:chosen", () => {
    shown.cells = matrix.get("chosen");
    listUtterances();
  });
}

/** What the cells `chosen` are called. */
function describe(chosen) {
  const { classes } = section();
  const errors = classes.length * (classes.length - 1);
  if (chosen.length === errors && errors > 1 && chosen.every(([r, c]) => r !== c)) return "all errors";
  return chosen.map(([r, c]) => `truth ${classes[r]} predicted as ${classes[c]}`).join(" or ");
}

const sounding = new Model({ sound: "", picture: "", span: [0, 0], ticks: [], label: "" });

function closeRow() {
  find("#about").replaceChildren(made("p", "Select an utterance to play it."));
  find("#predictions").replaceChildren();
  find("#player").hidden = true;
  sounding.set("picture", "");
  sounding.set("sound", "");
}

function openRow(row) {
  const number = rows.utterance[row];
  const of = (name) => corpus[name]?.[number] ?? null;
  const known = ["speaker", "gender", "style"].filter((name) => of(name) !== null).map((name) => `${name} ${of(name)}`);
  if (new Set(rows.fold).size > 1) known.push(`fold ${rows.fold[row]}`);
  if (of("seconds") !== null) known.push(`${of("seconds").toFixed(2)} s`);
  const rated = DIMENSIONS.filter((name) => of(name) !== null).map((name) => `${name} ${of(name).toFixed(2)}`);
  const [low, high] = content.scales[pair.corpus];
  const emotion = of("emotion") === null ? "no rated category" : `rated ${of("emotion")}`;
  const scale = rated.length ? ` (scale ${low} to ${high})` : "";
  const words = of("transcript") ? `“${of("transcript")}”` : "no transcript";
  find("#about").replaceChildren(
    made("h3", of("utterance")),
    made("p", [content.labels[pair.corpus], ...known].join(" · ")),
    has("transcript") ? made("p", words, { className: "sercore-transcript" }) : "",
    made("p", [emotion, ...rated].join(" · ") + scale),
    media.sounds[number] ? "" : made("p", "Its sound is not here."),
  );
  drawPredictions(row);
  const file = content.corpora[pair.corpus];
  find("#player").hidden = !media.sounds[number];
  const span = media.spans[number];
  sounding.set("span", span ?? [0, 0]);
  sounding.set("ticks", media.ticks);
  sounding.set("label", media.label);
  sounding.set("picture", span ? pathOf("spectrograms", file, `${number}.png`) : "");
  sounding.set("sound", media.sounds[number] ? pathOf("sounds", file, `${number}.flac`) : "");
}

/** A table: of each line its header, and cells of a text and a class. */
function tableOf(head, lines) {
  const first = made("tr", head.map((cell) => made("th", cell)));
  const others = lines.map(([name, ...cells]) =>
    made("tr", [made("th", name), ...cells.map(([text, className]) => made("td", text, { className }))]),
  );
  return made("div", made("table", [first, ...others], { className: "sercore-predictions" }), { className: "scroll" });
}

function drawPredictions(row) {
  const parts = [];
  pair.sections.forEach((one, n) => {
    const { truth, models } = rows.sections[n];
    if (truth[row] === null) return;
    const lines = one.shown.flatMap((model, m) => {
      const chances = models[m].chances[row];
      if (chances === null) return [];
      const kind = (c) => `${c === truth[row] ? "truth" : ""} ${c === models[m].prediction[row] ? "predicted" : ""}`;
      return [[nameOf(model), ...chances.map((chance, c) => [(chance * LEAST).toFixed(2), kind(c)])]];
    });
    parts.push(made("h3", `${one.label}: truth ${one.classes[truth[row]]}`), tableOf(["", ...one.classes], lines));
  });
  const ratings = rows.ratings.filter((model) => Object.values(model.values).some((of) => of[row] !== null));
  for (const name of new Set(ratings.map((model) => model.section))) {
    const of = (model, target) => model.values[target]?.[row]?.toFixed(2) ?? "–";
    const lines = ratings
      .filter((model) => model.section === name)
      .map((model) => [nameOf(model), ...DIMENSIONS.map((target) => [of(model, target), ""])]);
    parts.push(made("h3", name), tableOf(["", ...DIMENSIONS], lines));
  }
  find("#predictions").replaceChildren(...parts);
}

/** Open what is `shown`: load its tables and draw them. */
async function open() {
  pair = content.pairs[shown.pair];
  shown.model = Math.min(shown.model, (section()?.shown.length ?? 1) - 1);
  const file = content.corpora[pair.corpus];
  try {
    [rows, corpus, media] = await Promise.all([
      load(`pair ${shown.pair}`, `pair-${shown.pair}.js`),
      load(`of ${pair.corpus}`, `${file}.js`),
      load(`media of ${pair.corpus}`, `${file}-media.js`),
    ]);
  } catch (error) {
    Object.assign(find("#problem"), { textContent: error.message, hidden: false });
    return;
  }
  drawChoices();
  drawGrid();
  listUtterances();
}

let numbers = []; // of the rows that are listed
const listed = new Model({
  columns: [],
  selected_rows: [],
  marked: [],
  search: "",
  filters: {},
  order: [],
  label: "utterances",
  noun: "utterances",
});

/** A column as table.js takes it: with `digits` of numbers, else of texts, "choice" if it is filtered by its values. */
function columnOf(title, values, { digits, kind = "text" } = {}) {
  if (digits === undefined) {
    const texts = JSON.stringify(values.map((value) => value ?? ""));
    return { title, kind, digits: 0, values: new TextEncoder().encode(texts) };
  }
  const { buffer } = Float64Array.from(values, (value) => value ?? NaN);
  return { title, kind: "number", digits, values: new Uint8Array(buffer) };
}

/** List the rows in the chosen cells of the matrix, or all rows, the most confident first. */
function listUtterances() {
  const chosen = shown.cells;
  numbers = rows.utterance.map((_, row) => row);
  const columns = [];
  let [what, likely] = ["all", null];
  if (section()) {
    const { truth, models } = rows.sections[shown.section];
    const { prediction, chances } = models[shown.model];
    const inside = new Set(chosen.map((cell) => cell.join()));
    const confident = (row) => chances[row][prediction[row]] * LEAST;
    likely = (row) => chances[row][truth[row]] * LEAST;
    const isInside = (row) => !chosen.length || inside.has(`${truth[row]},${prediction[row]}`);
    numbers = numbers.filter((row) => prediction[row] !== null && isInside(row));
    numbers.sort((one, other) => confident(other) - confident(one));
    if (chosen.length) what = describe(chosen);
    const { classes } = section();
    if (chosen.length !== 1) {
      columns.push(columnOf("truth", numbers.map((row) => classes[truth[row]]), { kind: "choice" }));
      columns.push(columnOf("predicted", numbers.map((row) => classes[prediction[row]]), { kind: "choice" }));
    }
    columns.push(columnOf("conf.", numbers.map(confident), { digits: 3 }));
  }
  const of = (name) => numbers.map((row) => corpus[name][rows.utterance[row]]);
  const facts = { transcript: {}, utterance: {}, speaker: {}, gender: { kind: "choice" }, seconds: { digits: 2 } };
  for (const [name, as] of Object.entries(facts)) if (has(name)) columns.push(columnOf(name, of(name), as));
  if (section()) columns.push(columnOf("p(truth)", numbers.map(likely), { digits: 3 }));
  const model = section() ? `${section().shown[shown.model].label}: ` : "";
  const count = `${numbers.length.toLocaleString("en")} utterance${numbers.length === 1 ? "" : "s"}`;
  find(".sercore-heading").textContent = `${model}${what}, ${pair.label}: ${count}`;
  closeRow();
  listed.set("selected_rows", []);
  listed.set("columns", columns);
}

let before = [];
listed.on("change:selected_rows", () => {
  const selected = listed.get("selected_rows");
  const [opened] = selected.filter((number) => !before.includes(number));
  before = selected;
  if (opened !== undefined) openRow(numbers[opened]);
});

table.render({ model: listed, el: find("#table") });
player.render({ model: sounding, el: find("#player") });
open();

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
      Object.assign(script, { onload: done, onerror: () => failed(new Error(`data/${file} is not beside this page: copy the whole folder`)) });
      document.head.append(script);
    });
  }
  return taken.get(name);
}

const shown = { pair: 0, section: 0, model: 0 };
let [pair, rows, corpus, media] = [null, null, null, null]; // content of the page; of the scripts

const section = () => pair.sections[shown.section];
const has = (name) => Boolean(corpus[name]);

/** A drop-down list of `labels` under the name `label`. */
function list(label, name, labels) {
  const select = made("select", labels.map((text, value) => made("option", text, { value })), { disabled: labels.length < 2 });
  select.value = shown[name];
  select.addEventListener("change", () => {
    shown[name] = Number(select.value);
    if (name === "pair") Object.assign(shown, { section: 0 });
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
  const matrix = new Model({ ...model.grid, chosen: [] });
  const el = made("div", "");
  all.append(made("div", [title, el]));
  grid.render({ model: matrix, el });
  matrix.on("change:chosen", () => listUtterances(matrix.get("chosen")));
}

/** What the cells `chosen` are called. */
function describe(chosen) {
  const { classes } = section();
  const errors = classes.length * (classes.length - 1);
  if (chosen.length === errors && errors > 1 && chosen.every(([r, c]) => r !== c)) return "all errors";
  return chosen.map(([r, c]) => `truth ${classes[r]} predicted as ${classes[c]}`).join(" or ");
}

const sounding = new Model({ sound: "", picture: "", span: [0, 0], ticks: [], label: "" });

function openRow(row) {
  const number = rows.utterance[row];
  const of = (name) => corpus[name]?.[number] ?? null;
  const known = ["speaker", "gender", "style"].filter((name) => of(name) !== null).map((name) => `${name} ${of(name)}`);
  if (of("seconds") !== null) known.push(`${of("seconds").toFixed(2)} s`);
  const rated = DIMENSIONS.filter((name) => of(name) !== null).map((name) => `${name} ${of(name).toFixed(2)}`);
  const [low, high] = content.scales[pair.corpus];
  const said = has("transcript") ? made("p", of("transcript") ? `“${of("transcript")}”` : "no transcript", { className: "sercore-transcript" }) : "";
  find("#about").replaceChildren(
    made("h3", of("utterance")),
    made("p", [content.labels[pair.corpus], ...known].join(" · ")),
    said,
    made("p", [of("emotion") === null ? "no rated category" : `rated ${of("emotion")}`, ...rated].join(" · ") + (rated.length ? ` (scale ${low} to ${high})` : "")),
    media.sounds[number] ? "" : made("p", "Its sound is not here."),
  );
  drawPredictions(row);
  const place = [`${content.corpora[pair.corpus]}`, `${number}`];
  find("#player").hidden = !media.sounds[number];
  const span = media.spans[number];
  for (const [name, value] of Object.entries({ span: span ?? [0, 0], ticks: media.ticks, label: media.label })) sounding.set(name, value);
  sounding.set("picture", span ? pathOf("spectrograms", place[0], `${place[1]}.png`) : "");
  sounding.set("sound", media.sounds[number] ? pathOf("sounds", place[0], `${place[1]}.flac`) : "");
}

/** A table of `cells`, each a text or [text, class]; the first of a line is its header. */
function tableOf(head, lines) {
  const row = (cells, kind) => made("tr", cells.map((cell, n) => (n && kind === "td" ? made("td", cell[0], { className: cell[1] }) : made("th", cell))));
  const whole = made("table", [row(head, "th"), ...lines.map((line) => row(line, "td"))], { className: "sercore-predictions" });
  return made("div", whole, { className: "scroll" });
}

function drawPredictions(row) {
  const parts = [];
  pair.sections.forEach((one, n) => {
    const { truth, models } = rows.sections[n];
    if (truth[row] === null) return;
    const lines = one.shown.flatMap((model, m) => {
      const chances = models[m].chances[row];
      if (chances === null) return [];
      const kinds = one.classes.map((_, c) => [...(c === truth[row] ? ["truth"] : []), ...(c === models[m].prediction[row] ? ["predicted"] : [])]);
      return [[nameOf(model), ...chances.map((chance, c) => [(chance * LEAST).toFixed(2), kinds[c].join(" ")])]];
    });
    parts.push(made("h3", `${one.label}: truth ${one.classes[truth[row]]}`), tableOf(["", ...one.classes], lines));
  });
  const ratings = rows.ratings.filter((model) => Object.values(model.values).some((of) => of[row] !== null));
  for (const name of new Set(ratings.map((model) => model.section))) {
    const lines = ratings.filter((model) => model.section === name).map((model) => [nameOf(model), ...DIMENSIONS.map((target) => [model.values[target]?.[row]?.toFixed(2) ?? "–", ""])]);
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
  listUtterances([]);
}

//TABLE//

player.render({ model: sounding, el: find("#player") });
open();

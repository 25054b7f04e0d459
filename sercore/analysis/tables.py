"""The paper's Tables 1 to 4, with the study's numbers beside the printed ones and notes on how they were made.

A table is a DataFrame of text to be read and a tidy one of numbers for everything else; it is written as Markdown,
LaTeX (booktabs), HTML and CSV into the study's folder. The four tables have the paper's columns; their numbers hold
every metric of the registry.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sercore import files
from sercore.analysis import captions, published, statistics
from sercore.analysis.markup import markup
from sercore.analysis.nothing import Nothing, or_nothing
from sercore.analysis.results import Results, of_best, scores
from sercore.analysis.verdicts import CONSISTENT, FAILS, HOLDS, OPEN
from sercore.registry import CORPORA, METRICS, MODELS
from sercore.schema import DIMENSIONS
from sercore.study.config import Study

HERE, PAPER = "here", "paper"
VERDICT_CLASSES = {  # of HTML
    HOLDS: "verdict holds",
    CONSISTENT: "verdict consistent",
    OPEN: "verdict open",
    FAILS: "verdict fails",
}
ROWS_OF_A_FLOAT = 40  # what is longer may not fit on a page
VALUE = 20  # characters up to which all cells of a column of LaTeX stand on one line
SENTENCE = 40  # characters from which a cell is prose, not a value
TEST_KEYS = ["train_corpus", "test_corpus", "target", "metric", "pooling"]
POOLING_LABELS = {"single": "", "pooled": "folds pooled", "folds": "mean of folds"}
OF_TABLES_1_TO_3, OF_TABLE_4 = ("uar", "ccc", "pcc"), ("ccc", "mse")  # the metrics that the paper prints there


@dataclass(frozen=True, repr=False)
class Table:
    """A table of results: what is shown, the numbers behind it, and the notes that stand below it."""

    name: str  # of its files
    title: str
    frame: pd.DataFrame  # text; the index and the columns are what its rows and columns are called
    numbers: pd.DataFrame  # tidy
    notes: tuple[str, ...]
    align: str = "r"  # of the cells: r, or l for sentences

    def markdown(self) -> str:
        """The table and its notes in Markdown, as a notebook and the command line show it."""
        rows, rule = self.frame.index.nlevels, {"r": "---:", "l": "---"}[self.align]
        head = [*self.frame.index.names, *(" ".join(column).strip() for column in self.frame.columns)]
        lines = [f"**{self.title}**", "", _line(head), _line(["---"] * rows + [rule] * self.frame.shape[1])]
        lines += [_line([*names, *cells]) for names, cells in self._rows()]
        return "\n".join([*lines, "", *(f"- {_md(note)}" for note in self.notes), ""])

    def latex(self) -> str:
        """The table and its notes in LaTeX, with booktabs; what may be longer than a page as a `longtable`."""
        long = len(self.frame) > ROWS_OF_A_FLOAT
        kind = "longtable" if long else "tabular"
        caption = rf"\caption{{{tex(self.title)}}}\label{{{self.name}}}"
        lines = [
            *([] if long else [r"\begin{table}", r"\centering", caption]),
            rf"\begin{{{kind}}}{{{'l' * self.frame.index.nlevels}{self._latex_columns()}}}",
            *([caption + r" \\"] if long else []),
            r"\toprule",
            *self._latex_head(),
            r"\midrule",
            *([r"\endhead"] if long else []),
            *(" & ".join(map(tex, [*names, *cells])) + r" \\" for names, cells in self._rows()),
            r"\bottomrule",
            rf"\end{{{kind}}}",
            *(rf"\par\footnotesize {tex(note)}" for note in self.notes),
            *([r"\normalsize"] if long else [r"\end{table}"]),
        ]
        return "\n".join(lines) + "\n"

    def _latex_columns(self) -> str:
        """What LaTeX is to make of each column: numbers on the right, sentences broken into lines."""
        if self.align == "r":
            return "r" * self.frame.shape[1]
        longest = [max(map(len, map(str, column)), default=0) for column in self.frame.to_numpy().T]
        sentences = sum(length > VALUE for length in longest)
        share = max(0.15, (0.9 - 0.1 * (len(longest) - sentences)) / max(1, sentences))
        return "".join(rf"p{{{share:.2f}\linewidth}}" if length > VALUE else "l" for length in longest)

    def _latex_head(self) -> list[str]:
        """The names of the columns, below those of their groups where there are groups."""
        names, columns = list(self.frame.index.names), list(self.frame.columns)
        if self.frame.columns.nlevels == 1:
            return [" & ".join(tex(name or "") for name in [*names, *columns]) + r" \\"]
        groups = self.frame.columns.get_level_values(0)
        starts = [place for place in range(len(columns)) if place == 0 or groups[place] != groups[place - 1]]
        spans = list(zip(starts, [*starts[1:], len(columns)], strict=True))
        over = " & ".join(rf"\multicolumn{{{end - start}}}{{c}}{{{tex(groups[start])}}}" for start, end in spans)
        rules = " ".join(rf"\cmidrule(lr){{{len(names) + start + 1}-{len(names) + end}}}" for start, end in spans)
        leaves = " & ".join(map(tex, [*names, *(leaf for _, leaf in columns)]))
        return ["& " * len(names) + over + r" \\", rules, leaves + r" \\"]

    def html(self) -> str:
        """The table and its notes as the part of an HTML page: a heading whose id is the table's name, table, notes."""
        papers = [PAPER in (names if isinstance(names, tuple) else (names,)) for names in self.frame.index]
        rows = zip(self.frame.to_numpy(), papers, strict=True)
        cells = [[self._html_cell(str(text), paper) for text in row] for row, paper in rows]
        shown = pd.DataFrame(cells, index=self.frame.index, columns=self.frame.columns)
        if shown.columns.nlevels > 1 and not any(shown.columns.get_level_values(0)):
            shown.columns = shown.columns.droplevel(0)
        styler = shown.style.format_index(escape="html", axis=0).format_index(escape="html", axis=1)
        kind = "numeric" if self.align == "r" else "sentences"
        lines = [
            markup('<h3 id="{}">{}</h3>', self.name, self.title),
            markup('<div class="scroll {}" role="region" tabindex="0" aria-labelledby="{}">', kind, self.name),
            styler.to_html(exclude_styles=True).strip(),
            "</div>",
        ]
        if self.notes:
            lines += ['<ul class="notes">', *(markup("<li>{}</li>", note) for note in self.notes), "</ul>"]
        return "\n".join([*lines, ""])

    def write(self, study: Study) -> list[Path]:
        """Write the table into the study's folder, as .md, .tex, .html and (the numbers) .csv; returns the paths."""
        paths = [study.folder / "tables" / f"{self.name}.{suffix}" for suffix in ("md", "tex", "html", "csv")]
        for path, text in zip(paths, (self.markdown(), self.latex(), self.html()), strict=False):
            files.write_text(path, text)
        files.write_table(paths[-1], self.numbers)
        return paths

    def __str__(self) -> str:
        """The table in Markdown."""
        return self.markdown()

    def __repr__(self) -> str:
        """Its name and size: a notebook shows the Markdown."""
        return f"Table({self.name}, {self.frame.shape[0]} rows, {self.frame.shape[1]} columns)"

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _html_cell(self, text: str, paper: bool) -> str:
        """`text` escaped, in an element of its own where it is drawn in another way than the rest."""
        prose = "prose" if self.align == "l" and len(text) > SENTENCE else ""
        kind = VERDICT_CLASSES.get(text.partition(" (")[0]) or (PAPER if paper else prose)
        return markup('<div class="{}">{}</div>', kind, text) if kind else markup("{}", text)

    def _rows(self) -> list[tuple[list[str], list[str]]]:
        """Names and cells of each row; a name that only repeats the one above is left empty."""
        rows, above = [], [None] * self.frame.index.nlevels
        for names, cells in zip(self.frame.index, self.frame.to_numpy(), strict=True):
            names = list(names) if isinstance(names, tuple) else [names]
            repeated = [names[: place + 1] == above[: place + 1] for place in range(len(names))]
            rows.append((["" if same else name for name, same in zip(names, repeated, strict=True)], list(cells)))
            above = names
        return rows


@or_nothing
def table_1(results: Results) -> Table:
    """Table 1 (section 5): UAR of the four classes, in-domain and across corpora."""
    title = "Emotional categories, UAR (%), mean (sd) over seeds"
    return _mean_table(results, 1, title, ["model", ""], summary(results), by_target=False)


@or_nothing
def table_2(results: Results) -> Table:
    """Table 2 (section 6.1): one model a dimension, CCC in-domain and PCC across corpora."""
    title = "Single-task dimensions, CCC in-domain and PCC across corpora, mean (sd) over seeds"
    return _mean_table(results, 2, title, ["trained on", "model", ""], summary(results), by_target=True)


@or_nothing
def table_3(results: Results) -> Table:
    """Table 3 (section 6.2): all three dimensions at once, CCC in-domain."""
    numbers = summary(results)
    numbers = numbers[numbers["train_corpus"] == numbers["test_corpus"]]
    title = "Multitask dimensions, CCC, mean (sd) over seeds"
    return _mean_table(results, 3, title, ["trained on", "model", ""], numbers, by_target=True)


@or_nothing
def table_4(results: Results) -> Table:
    """Table 4 (appendix A): CCC and MSE of the one model of each architecture that is best on validation."""
    test = results.predictions[results.predictions["partition"] == "test"]
    scored = scores(of_best(test[test["train_corpus"] == test["test_corpus"]], results.best))
    paper = published.results(4).rename(columns={"mean": "paper"})
    keys = ["model", *TEST_KEYS[:-1]]
    numbers = scored.astype(dict.fromkeys(keys, object)).merge(paper[[*keys, "paper"]], on=keys, how="left")
    rows: list[tuple[str, ...]] = []
    for row in numbers[numbers["metric"].isin(OF_TABLE_4)].itertuples():
        column = (row.target, METRICS.label(row.metric))
        names = (MODELS.label(row.model), CORPORA.label(row.train_corpus), _source(row.pooling))
        rows.append((*names, *column, f"{number_text(row.score, row.metric)}"))
        if pd.notna(row.paper):
            rows.append((*names[:2], PAPER, *column, f"{number_text(row.paper, row.metric)}"))
    frame = _frame(rows, ["model", "trained on", ""], [(d, METRICS.label(m)) for d in DIMENSIONS for m in OF_TABLE_4])
    best = results.best.drop_duplicates(["model", "train_corpus"])
    seeds = ", ".join(f"{MODELS.label(row.model)} {row.seed}" for row in best.itertuples())
    below = (
        f"Seed of each model: {seeds}.",
        *captions.late_fusion(results),
        "MSE in squared units of the corpus's own scale (MSP-Podcast: 1-7).",
    )
    title = _title(results, 4, "Multitask dimensions, the model of each architecture that is best on validation")
    shown = numbers[["section", *keys, "pooling", "seed", "score", "paper"]]
    return Table("table_4", title, frame, shown, (*below, *captions.notes(results, numbers)))


def headline(
    table: Table | Nothing | pd.DataFrame,
    sentence: str,
    by: str,
    rows: str = "",
    of: str = "",
    lowest: bool = False,
) -> str:
    """`sentence` with the values of the row of a table's numbers that is highest.

    Args:
        table: a table, or its numbers; a Nothing is its own sentence.
        sentence: a format of the numbers' columns.
        by: the column that is highest; rows without a value are left out.
        rows: a query of the rows that are compared, as of pandas.
        of: a column for whose values the mean of `by` is compared; the sentence then has these two.
        lowest: take the lowest in place of the highest.
    """
    if isinstance(table, Nothing):
        return str(table)
    numbers = table.numbers if isinstance(table, Table) else table
    numbers = (numbers.query(rows) if rows else numbers).dropna(subset=[by])
    if numbers.empty:
        return f"No {by} is known."
    if of:
        numbers = numbers.groupby(of, observed=True, sort=False)[by].mean().reset_index()
    return sentence.format(**numbers.sort_values(by, kind="stable").iloc[0 if lowest else -1])


def summary(results: Results) -> pd.DataFrame:
    """Mean and sd (ddof 0) over seeds of every score on test utterances, tested against CNN14 and BERT, one row a cell.

    Returns:
        Columns: section, model, train_corpus, test_corpus, target, metric, pooling, seeds, mean, sd, p_cnn14 and p_bert
        (two-sided t-test over seeds, not corrected), marker, paper_mean, paper_sd, paper_marker (missing where the
        paper prints nothing).
    """
    scored = results.scores[results.scores["partition"] == "test"]
    rows = []
    for key, group in scored.groupby(TEST_KEYS, observed=True, sort=False):
        seeds = {model: part["score"].to_numpy() for model, part in group.groupby("model", observed=True, sort=False)}
        marked = statistics.markers(seeds)
        for model in sorted(seeds, key=MODELS.position):
            tested = {
                f"p_{other}": statistics.compare_seeds(seeds[model], seeds[other]).p
                if other in seeds and other != model
                else float("nan")
                for other in statistics.REFERENCES
            }
            values = seeds[model]
            rows.append(
                {
                    "section": results.section,
                    "model": model,
                    **dict(zip(TEST_KEYS, key, strict=True)),
                    "seeds": len(values),
                    "mean": values.mean(),
                    "sd": values.std(),
                    **tested,
                    "marker": marked.get(model, ""),
                }
            )
    keys = ["section", "model", *TEST_KEYS[:-1]]
    paper = published.results().query("table != 4")
    mark = paper["star"].map({True: "*", False: ""}) + paper["dagger"].map({True: "†", False: ""})
    paper = paper.assign(paper_marker=mark).rename(columns={"mean": "paper_mean", "sd": "paper_sd"})
    return pd.DataFrame(rows).merge(paper[[*keys, "paper_mean", "paper_sd", "paper_marker"]], on=keys, how="left")


def _mean_table(
    results: Results, number: int, title: str, names: list[str], numbers: pd.DataFrame, by_target: bool
) -> Table:
    """A table of means over seeds: one column a pair of corpora, or one a target and a row a training corpus."""
    rows: list[tuple[str, ...]] = []
    columns: dict[tuple[str, str], tuple[int, ...]] = {}  # -> what they are sorted by
    for row in numbers[numbers["metric"].isin(OF_TABLES_1_TO_3)].itertuples():
        train, test = CORPORA.label(row.train_corpus), CORPORA.label(row.test_corpus)
        label = MODELS.label(row.model)
        if by_target:
            where = "in-domain" if train == test else "cross-corpus"
            column, start, source = (
                (f"{where} {METRICS.label(row.metric)}", row.target),
                (train, label),
                _source(row.pooling),
            )
            columns[column] = (where == "cross-corpus", DIMENSIONS.index(row.target))
        else:
            inside = f", {POOLING_LABELS[row.pooling]}" if train == test and row.pooling != "single" else ""
            column, start, source = (train, f"→ {test}{inside}"), (label,), HERE
            columns[column] = (
                CORPORA.position(row.train_corpus),
                train != test,
                list(POOLING_LABELS).index(row.pooling),
            )
        fewer = f" [{row.seeds} seed{'s' if row.seeds > 1 else ''}]" if row.seeds < numbers["seeds"].max() else ""
        rows.append((*start, source, *column, cell_text(row.mean, row.sd, row.marker, row.metric) + fewer))
        if pd.notna(row.paper_mean):
            rows.append((*start, PAPER, *column, cell_text(row.paper_mean, row.paper_sd, row.paper_marker, row.metric)))
    frame = _frame(rows, names, sorted(columns, key=columns.__getitem__))
    below = (*captions.markers(results), *captions.notes(results, numbers))
    return Table(f"table_{number}", _title(results, number, title), frame, numbers, below)


def _frame(rows: list[tuple[str, ...]], names: list[str], columns: list[tuple[str, str]]) -> pd.DataFrame:
    """Tidy `rows` (row names, two column names, text) as a table, the paper's row last of each model's."""
    keys = [f"row {place}" for place in range(len(names))]
    table = pd.DataFrame(rows, columns=[*keys, "group", "leaf", "text"]).drop_duplicates([*keys, "group", "leaf"])
    wide = table.pivot(index=keys, columns=["group", "leaf"], values="text").fillna("")
    return sorted_rows(wide.reindex(columns=pd.MultiIndex.from_tuples(columns)).rename_axis(index=names))


def sorted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with its rows in order: models and corpora in the order of the registry, the study before the paper."""
    places = [[_rank(name) for name in frame.index.get_level_values(level)] for level in range(frame.index.nlevels)]
    return frame.iloc[np.lexsort(places[::-1])]


def _rank(name: str) -> int:
    corpora = [CORPORA.label(name) for name in CORPORA]
    pairs = [f"{train} → {test}" for train in corpora for test in sorted(corpora, key=lambda test: test != train)]
    metrics = [METRICS.label(name) for name in METRICS]
    of = [*metrics, *(name for target in DIMENSIONS for name in (target, *(f"{target}, {m}" for m in metrics)))]
    sources = [HERE, *map(_source, POOLING_LABELS), PAPER]
    known = [*(MODELS.label(name) for name in MODELS), *corpora, *pairs, *of, *sources]
    return known.index(name) if name in known else len(known)


def _source(pooling: str) -> str:
    return f"{HERE}, {POOLING_LABELS[pooling]}" if POOLING_LABELS[pooling] else HERE


def _title(results: Results, number: int, title: str) -> str:
    return f"Table {number}. {title}{incomplete(results)}"


def incomplete(results: Results) -> str:
    """The end of a title: whether the speech is simulated and how many runs are missing; empty where neither is so."""
    simulated = ", simulated speech" if results.simulated else ""
    return simulated + (f", INCOMPLETE: {captions.count_of_missing(results)}" if results.missing else "")


def cell_text(mean: float, sd: float, marker: str, metric: str) -> str:
    """Mean, sd and marker as the paper prints them."""
    return f"{number_text(mean, metric)} ({number_text(sd, metric)}){' ' if marker else ''}{marker}"


def number_text(value: float, metric: str) -> str:
    """`value` as the paper prints it: 48.9 in %, .664 for a correlation, 1.352 for an error."""
    spec = METRICS.find(metric)
    text = f"{value:.{spec.digits}f}"
    if not spec.leading_zero and abs(value) < 1:
        text = text.replace("0.", ".", 1)
    return text.replace("-", "−" if text.strip("-.0") else "")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(_md(str(cell)).replace("|", r"\|") for cell in cells) + " |"


def _md(text: str) -> str:
    return text.replace("*", r"\*")


def tex(text: str) -> str:
    """`text` with LaTeX's own characters escaped."""
    special = {"\\": r"\textbackslash{}", "†": r"$^\dagger$", "*": "$^*$", "→": r"$\rightarrow$", "`": "", "−": "$-$"}
    special |= {"^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": r"\textbar{}"}
    return "".join(special.get(sign, "\\" + sign if sign in "&%$#_{}" else sign) for sign in text)

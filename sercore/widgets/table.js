function () {
  // Called by DataTables after every draw: numbers the rows that are drawn, and once makes the keyboard's part.
  const table = this.api();
  const scrolled = table.table().container().querySelector(".dt-scroll-body");
  table.rows({ page: "current" }).every(function () {
    this.node().dataset.row = this.index();
  });
  scrolled.querySelector("thead")?.setAttribute("inert", ""); // an unseen copy of the titles, with fields of its own
  if (scrolled.dataset.keys) return;
  Object.assign(scrolled.dataset, { keys: "true", lmSuppressShortcuts: "true" });
  scrolled.tabIndex = 0;
  scrolled.setAttribute("role", "group");
  scrolled.setAttribute("aria-label", "utterances; arrows open the next or previous one, space plays it");
  table.ready(() => {
    const [titles, filters] = scrolled.parentElement.querySelectorAll(".dt-scroll-head thead tr");
    [...filters.cells].forEach((head, n) => {
      const label = `filter ${titles.cells[n].querySelector(".dt-column-title").textContent}`;
      head.querySelectorAll("input, select").forEach((field) => field.setAttribute("aria-label", label));
    });
  });
  let last = -1; // the row from which the arrows go on
  table.on("select", (event, _, kind, indexes) => {
    if (kind === "row") last = indexes[indexes.length - 1];
  });
  scrolled.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      scrolled.closest(".sercore-both")?.querySelector(".sercore-player .play")?.click();
      return;
    }
    const rows = table.rows({ search: "applied", order: "applied" }).indexes().toArray();
    const now = rows.indexOf(last);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows.length) return;
    event.preventDefault();
    const next = rows[Math.max(0, Math.min(to, rows.length - 1))];
    if (!event.shiftKey) table.rows({ selected: true }).deselect();
    table.row(next).select();
    const seen = table.scroller.page();
    const place = rows.indexOf(next);
    if (place <= seen.start || place >= seen.end) table.row(next).scrollTo(false);
  });
}

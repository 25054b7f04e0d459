// The address of what a browser shows, or a line of code that shows it again: see links.Link.
function render({ model, el }) {
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  const own = "kernelId" in config; // Voila: the page is the browser's, and so is its address

  /** The parameters of the page's address that are not the browser's. */
  const others = () => {
    const given = new URLSearchParams(location.search);
    model.get("names").forEach((name) => given.delete(name));
    return given;
  };
  const write = () => {
    const rest = others().toString();
    const query = [rest, model.get("query")].filter(Boolean).join("&");
    history.replaceState(history.state, "", `${location.pathname}${query ? `?${query}` : ""}${location.hash}`);
  };

  if (own) {
    model.on("change:query", write);
    const given = new URLSearchParams(location.search);
    if (!model.get("address") && model.get("names").some((name) => given.has(name))) {
      model.set("address", location.search);
      model.save_changes();
    }
    return;
  }
  el.classList.add("sercore-link");
  el.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to this
  const label = document.createElement("label");
  const line = document.createElement("input");
  Object.assign(line, { readOnly: true, spellcheck: false });
  label.append("to show this again: ", line);
  const copy = document.createElement("button");
  Object.assign(copy, { type: "button", textContent: "copy" });
  copy.addEventListener("click", () => {
    line.select();
    navigator.clipboard.writeText(line.value).then(() => (copy.textContent = "copied"));
  });
  el.replaceChildren(label, copy);
  const draw = () => {
    line.value = model.get("call").replace("…", JSON.stringify(model.get("query")));
    copy.textContent = "copy";
  };
  model.on("change:query", draw);
  model.on("change:call", draw);
  draw();
}

export default { render };

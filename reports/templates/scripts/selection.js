// Which trials are chosen by their settings. One selection for the leaderboard, the parallel coordinates and the charts.

const fields = JSON.parse(find("#digits-fields")?.textContent || "[]");

const fieldText = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(3))) : value === null ? "\u2013" : String(value));
const fieldTitle = (name) => {
  if (name === "validation_nll") return "val. NLL";
  const [part, field] = name.split(".");
  return (field === "name" ? part : field).replaceAll("_", " ");
};

const selection = (() => {
  const chosen = new Map(); // field name -> { low, high } or a Set of values as text
  const listeners = [];
  const trials = report.trials.trial;
  const byName = new Map(fields.map((field) => [field.name, field]));

  const fits = (field, value) => {
    const wanted = chosen.get(field.name);
    if (value === null) return false;
    return wanted instanceof Set ? wanted.has(String(value)) : value >= wanted.low && value <= wanted.high;
  };

  // The chosen trials, or null if all are.
  const kept = () => {
    if (!chosen.size) return null;
    const used = fields.filter((field) => chosen.has(field.name));
    return new Set(trials.filter((_, place) => used.every((field) => fits(field, field.values[place]))));
  };

  const asText = () => [...chosen].map(([name, wanted]) => {
    const said = wanted instanceof Set ? [...wanted].map(encodeURIComponent).join(",") : `${wanted.low}~${wanted.high}`;
    return `${encodeURIComponent(name)}:${said}`;
  }).join(";");

  const words = () => [...chosen].map(([name, wanted]) => {
    const said = wanted instanceof Set ? [...wanted].join(" or ") : `${fieldText(wanted.low)} to ${fieldText(wanted.high)}`;
    return `${fieldTitle(name)} ${said}`;
  }).join(", ");

  // What a link says; whatever does not fit this page's fields is left out.
  const parse = (text) => {
    const found = new Map();
    for (const part of text.split(";")) {
      try {
        const [name, said = ""] = part.split(":", 2);
        const field = byName.get(decodeURIComponent(name));
        if (!field) continue;
        const range = said.split("~").map(Number);
        if (field.numeric && range.length === 2 && range.every(Number.isFinite)) found.set(field.name, { low: range[0], high: range[1] });
        const values = said.split(",").map(decodeURIComponent).filter((value) => field.values.some((one) => String(one) === value));
        if (!field.numeric && values.length) found.set(field.name, new Set(values));
      } catch { /* not written by this page */ }
    }
    return found;
  };

  const bar = find("[data-selection]");
  const tell = () => {
    const set = kept();
    for (const listener of listeners) listener(set);
    if (!bar) return;
    bar.hidden = !set;
    if (!set) return bar.replaceChildren();
    const reset = element("button", { type: "button" }, "Show all");
    reset.addEventListener("click", () => clear());
    bar.replaceChildren(element("strong", {}, `${set.size} of ${trials.length} trials`), ` ${words()} `, reset);
  };

  const changed = () => {
    address.write(address.read(), asText());
    tell();
  };
  const choose = (name, wanted) => {
    if (wanted === null) chosen.delete(name);
    else chosen.set(name, wanted);
    changed();
  };
  const clear = () => {
    if (!chosen.size) return;
    chosen.clear();
    changed();
  };
  // Follows a link. One without a selection leaves the present one as it is.
  const follow = (text) => {
    if (text === undefined) {
      if (chosen.size) address.write(address.read(), asText());
      return;
    }
    const found = parse(text);
    chosen.clear();
    for (const [name, wanted] of found) chosen.set(name, wanted);
    tell();
  };
  return { choose, clear, follow, get: (name) => chosen.get(name) ?? null, kept, listen: (listener) => listeners.push(listener) };
})();

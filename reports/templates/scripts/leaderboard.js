// The leaderboard: filter, selection, downloads.

// Further rows are added on request: sorting is slow in proportion to the rows that are laid out.
const FEWEST_ROWS = 100;

const leaderboardRows = () => {
  const sorter = sortable(find("[data-leaderboard]"));
  const body = find("[data-leaderboard] tbody");
  const words = find("[data-filter]");
  const tied = find("[data-tied]");
  const said = find("[data-count]");
  const more = find("[data-more]");
  const texts = new Map(sorter.rows.map((row) => [row, row.textContent.toLowerCase()]));
  const trialOf = new Map(sorter.rows.map((row) => [row, Number(row.id.slice("trial=".length))]));
  let limit = FEWEST_ROWS;
  let chosen = null;
  let fitting = sorter.rows;

  sorter.show = () => {
    const wanted = words.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    fitting = sorter.rows.filter(
      (row) =>
        wanted.every((word) => texts.get(row).includes(word)) &&
        !(tied?.checked && !row.classList.contains("chosen")) &&
        (!chosen || chosen.has(trialOf.get(row))),
    );
    body.replaceChildren(...fitting.filter((row, place) => place < limit || row.classList.contains("asked")));
    said.textContent = fitting.length === texts.size ? "" : `${fitting.length} of ${texts.size} rows`;
    more.hidden = fitting.length <= limit;
    more.textContent = `show all ${fitting.length} rows`;
  };

  // Marks a trial's row and adds it to the table if the filter allows it; returns the row, or null.
  const mark = (trial) => {
    for (const row of sorter.rows) row.classList.toggle("asked", row.id === `trial=${trial}`);
    sorter.show();
    return document.getElementById(`trial=${trial}`);
  };

  words.addEventListener("input", () => sorter.show());
  tied?.addEventListener("change", () => sorter.show());
  more.addEventListener("click", () => { limit = Infinity; sorter.show(); });
  // A click anywhere in a row opens its trial, unless text was selected.
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!event.target.closest("a") && row?.id && getSelection().isCollapsed) location.hash = row.id;
  });
  selection.listen((kept) => { chosen = kept; sorter.show(); });
  sorter.show();
  return { mark, order: () => fitting.map((row) => trialOf.get(row)) };
};

const recipeFile = (row) => ({
  name: `${report.sweep.name}, trial ${row.trial}`,
  dataset: report.sweep.dataset,
  validation: row.validation,
  recipe: row.recipe,
});

const csvOf = (columns) => {
  const names = Object.keys(columns);
  const quoted = (value) => {
    const spelt = { true: "True", false: "False" }[value] ?? value; // as pandas writes them
    const text = spelt === null || spelt === undefined ? "" : String(spelt);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = columns[names[0]].map((_, row) => names.map((name) => quoted(columns[name][row])).join(","));
  return [names.map(quoted).join(","), ...lines].join("\n") + "\n";
};

const save = (name, type, content) => {
  const address = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};

const offerDownloads = () => {
  const name = report.sweep.name.replace(/[^A-Za-z0-9._-]+/g, "-");
  const kinds = {
    csv: () => save(`${name}-leaderboard.csv`, "text/csv", csvOf(report.trials)),
    recipe: () => {
      const leader = report.leaderboard.rows[0];
      save(`${name}-trial-${leader.trial}.json`, "application/json", JSON.stringify(recipeFile(leader), null, 2));
    },
    json: () => save(`${name}-leaderboard.json`, "application/json", JSON.stringify(report.leaderboard, null, 2)),
  };
  for (const button of findAll("[data-download]")) button.addEventListener("click", kinds[button.dataset.download]);
};

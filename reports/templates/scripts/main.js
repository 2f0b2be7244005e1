// Sets up the page, and links like #trial=17 or #view=ensemble&cell=4-9 that lead back to the same view.

document.documentElement.classList.add("js");
for (const tools of findAll("[data-tools]")) tools.hidden = false;
findAll("table.sortable:not([data-leaderboard])").forEach(sortable);
const table = leaderboardRows();
offerDownloads();

const remember = (key, row, column) => {
  const parts = new Map();
  if (key !== "leader") parts.set("view", key);
  if (row !== "" || column !== "") parts.set("cell", `${row}-${column}`);
  if (!parts.size) parts.set("mistakes", "");
  panel.close(); // it would lie over the images
  address.write(parts);
};

const images = gallery(remember);
const grids = matrices((key, row, column) => {
  images.show(key, String(row), String(column));
  remember(key, row, column);
  document.getElementById("mistakes").scrollIntoView();
}, (key) => images.show(key));
const panel = trialPanel(table.order);

const follow = () => {
  const asked = address.read();
  selection.follow(asked.get("where"));
  const trial = asked.get("trial");
  const cell = /^(\d?)-(\d?)$/.exec(asked.get("cell") ?? "");
  if (trial === undefined || cell) panel.close();
  if (trial === undefined && !cell && !asked.has("view")) {
    table.mark(undefined);
    const [section] = [...asked].filter(([, value]) => value === "").map(([name]) => document.getElementById(name));
    if (section && asked.has("where")) section.scrollIntoView(); // no browser finds it by such an address
    return;
  }
  const key = trial === undefined ? asked.get("view") ?? "leader" : `trial-${trial}`;
  const row = table.mark(trial);
  if (trial !== undefined && !cell) panel.show(trial);
  if (views.has(key)) {
    grids.show(key);
    images.show(key, ...(cell ? cell.slice(1) : []));
  }
  if (cell) document.getElementById("mistakes").scrollIntoView();
  else if (row) row.scrollIntoView({ block: "nearest" });
};

sections();
keys({
  Escape: panel.hide,
  ArrowLeft: () => panel.step(-1),
  ArrowRight: () => panel.step(1),
  "/": () => find("[data-filter]").focus(),
  f: () => {
    const choose = find("[data-choose]");
    if (!choose) return false;
    choose.open = true;
    find("[data-choices] input")?.focus();
    return true;
  },
  r: () => selection.clear(),
});
parallel();
window.addEventListener("hashchange", follow);
follow();
setTimeout(() => charts((listener) => { selection.listen(listener); listener(selection.kept()); }));

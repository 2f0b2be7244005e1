// Sets up the page, and links like #trial=17&cell=4-9 that lead back to the same view.

document.documentElement.classList.add("js");
for (const tools of findAll("[data-tools]")) tools.hidden = false;
findAll("table.sortable:not([data-leaderboard])").forEach(sortable);
const table = leaderboardRows();
offerDownloads();

const remember = (key, row, column) => {
  const parts = [];
  const view = views.get(key);
  if (key === `trial-${view.trial}`) parts.push(`trial=${view.trial}`);
  else if (key !== "leader") parts.push(`view=${key}`);
  if (row !== "" || column !== "") parts.push(`cell=${row}-${column}`);
  history.replaceState(null, "", `#${parts.join("&") || "mistakes"}`);
};

const images = gallery(remember);
const grids = matrices((key, row, column) => {
  images.show(key, String(row), String(column));
  remember(key, row, column);
  document.getElementById("mistakes").scrollIntoView();
}, (key) => images.show(key));

const follow = () => {
  const asked = new Map(location.hash.slice(1).split("&").map((part) => part.split("=", 2)));
  const trial = asked.get("trial");
  const cell = /^(\d?)-(\d?)$/.exec(asked.get("cell") ?? "");
  if (trial === undefined && !cell && !asked.has("view")) return;
  const key = trial === undefined ? asked.get("view") ?? "leader" : `trial-${trial}`;
  const row = table.mark(trial);
  if (trial !== undefined) showTrial(trial);
  if (!views.has(key)) return;
  grids.show(key);
  images.show(key, ...(cell ? cell.slice(1) : []));
  if (cell) document.getElementById("mistakes").scrollIntoView();
  else row?.scrollIntoView({ block: "center" });
};

window.addEventListener("hashchange", follow);
follow();
setTimeout(charts);

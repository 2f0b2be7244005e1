// The JSON document inside the page; docs/report-data.md describes it.

const report = JSON.parse(document.getElementById("digits-data").textContent);
const views = new Map(report.views.map((view) => [view.key, view]));

const percentText = (share) => `${(100 * share).toFixed(2)}\u202f%`;

const confusionOf = (view) => {
  const counts = Array.from({ length: 10 }, () => new Array(10).fill(0));
  for (const [row, column, count] of view.confusion) counts[row][column] = count;
  return counts;
};

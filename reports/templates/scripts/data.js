// The JSON document inside the page; docs/report-data.md describes it.

const report = JSON.parse(document.getElementById("digits-data").textContent);
const views = new Map(report.views.map((view) => [view.key, view]));

// To the decimals that n images carry, as `percent_text` in Python.
const decimals = (n) => (n >= 1000 ? 2 : n >= 100 ? 1 : 0);
const percentText = (share, n) => `${(100 * share).toFixed(decimals(n))}\u202f%`;
const chanceText = (p) => (p < 0.005 ? "<0.01" : p >= 0.995 && p < 1 ? ">0.99" : p.toFixed(2));

const confusionOf = (view) => {
  const counts = Array.from({ length: 10 }, () => new Array(10).fill(0));
  for (const [row, column, count] of view.confusion) counts[row][column] = count;
  return counts;
};

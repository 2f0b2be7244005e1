"use strict";
(() => {
  const charts = [...document.querySelectorAll("[data-figure]")];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const themed = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    const axis = { gridcolor: line, linecolor: line, tickcolor: line };
    return {
      ...layout,
      font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      xaxis: { ...layout.xaxis, ...axis },
      yaxis: { ...layout.yaxis, ...axis },
    };
  };

  const draw = () => {
    for (const chart of charts) {
      const figure = JSON.parse(document.getElementById(chart.dataset.figure).textContent);
      Plotly.react(chart, figure.data, themed(figure.layout), { responsive: true, displayModeBar: false });
    }
  };

  draw();
  dark.addEventListener("change", draw);
})();

// Plotly is packed in the page and unpacked after the first paint; charts take their colours from the page's style.

const PAPER_WIDTH = 660;

const unpackPlotly = async () => {
  if (window.Plotly) return true;
  const packed = document.getElementById("plotly-packed");
  if (!packed || !window.DecompressionStream) return false;
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = await new Response(stream).text();
  // The page's Content-Security-Policy allows exactly this text, by its hash.
  const script = element("script");
  script.textContent = source;
  document.head.append(script);
  return Boolean(window.Plotly);
};

const themed = (layout) => {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const line = style.getPropertyValue("--line").trim();
  const axis = { gridcolor: line, linecolor: line, tickcolor: line };
  const made = { ...layout, font: { color: ink, family: "system-ui, sans-serif", size: 13 } };
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) made[name] = { ...layout[name], ...axis };
  }
  return made;
};

const drawChart = (chart) => {
  const figure = figures[chart.dataset.figure.replace("figure-", "")];
  if (!figure) return;
  window.Plotly.react(chart, figure.data, themed(figure.layout), { responsive: true, displayModeBar: false });
  if (chart.dataset.trials !== undefined && !chart.dataset.listens) {
    chart.dataset.listens = "yes";
    chart.on("plotly_click", (event) => {
      const [trial] = [event.points[0].customdata].flat();
      if (trial !== undefined) location.hash = `trial=${trial}`;
    });
  }
};

const charts = async () => {
  const places = findAll("[data-figure]");
  if (!(await unpackPlotly())) {
    for (const place of places) place.replaceChildren(element("p", { class: "quiet" }, "This chart could not be drawn: Plotly is missing, or the browser is older than 2023."));
    return;
  }
  for (const place of places) {
    drawChart(place);
    await new Promise((resume) => setTimeout(resume)); // keep the page responsive between two charts
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => places.forEach(drawChart));
  const slice = find("[data-slice]");
  slice?.addEventListener("change", () => {
    const chart = find("[data-slice-chart]");
    chart.dataset.figure = slice.value;
    drawChart(chart);
  });
  // When printed, a chart is as wide as the text, not as the window.
  window.addEventListener("beforeprint", () => {
    for (const place of places) if (place.layout) window.Plotly.relayout(place, { width: PAPER_WIDTH, autosize: false });
  });
  window.addEventListener("afterprint", () => {
    for (const place of places) if (place.layout) window.Plotly.relayout(place, { width: null, autosize: true });
  });
  document.documentElement.dataset.drawn = "yes";
};

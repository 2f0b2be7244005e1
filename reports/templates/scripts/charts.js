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

// The figures have the colours of a light page; in the dark, the series take those of the style sheet.
const coloured = (data) => {
  const style = getComputedStyle(document.documentElement);
  const [light, now] = ["--series-in-light", "--series"].map((name) => style.getPropertyValue(name).split(",").map((colour) => colour.trim()));
  const swap = (colour) => (light.includes(colour) ? now[light.indexOf(colour)] : colour);
  return data.map((trace) => {
    const made = { ...trace };
    for (const part of ["marker", "line"]) if (typeof trace[part]?.color === "string") made[part] = { ...trace[part], color: swap(trace[part].color) };
    return made;
  });
};

// A point's trial: its custom data, or the first of several.
const trialAt = (custom) => (custom?.length ? custom[0] : custom);

let chosenTrials = null;
const FAINT = { marker: { opacity: 0.1 } };

// Trials that are not chosen are faint.
const showChosen = (chart) => {
  const traces = chart._fullData ?? [];
  const places = [];
  const selected = [];
  traces.forEach((trace, place) => {
    if (!trace.customdata) return;
    places.push(place);
    const trials = Array.from(trace.customdata, trialAt);
    selected.push(chosenTrials ? trials.flatMap((trial, at) => (chosenTrials.has(trial) ? [at] : [])) : null);
  });
  if (places.length) window.Plotly.restyle(chart, { selectedpoints: selected, unselected: places.map(() => FAINT) }, places);
};

const drawChart = (chart) => {
  const figure = figures[chart.dataset.figure.replace("figure-", "")];
  if (!figure) return;
  window.Plotly.react(chart, coloured(figure.data), themed(figure.layout), { responsive: true, displayModeBar: false });
  if (chosenTrials && chart.dataset.trials !== undefined) showChosen(chart);
  if (chart.dataset.trials !== undefined && !chart.dataset.listens) {
    chart.dataset.listens = "yes";
    chart.on("plotly_click", (event) => {
      const trial = trialAt(event.points[0].customdata);
      if (trial !== undefined) location.hash = `trial=${trial}`;
    });
  }
};

// onSelection: takes a listener for the chosen trials, on pages that have a selection.
const charts = async (onSelection) => {
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
  let waiting = 0;
  const showAll = (kept, delay) => {
    if (!kept && !chosenTrials) return;
    chosenTrials = kept;
    clearTimeout(waiting);
    const left = places.filter((place) => place.dataset.trials !== undefined && place.layout);
    const next = () => {
      if (!left.length) return;
      showChosen(left.shift());
      waiting = setTimeout(next);
    };
    waiting = setTimeout(next, delay);
  };
  onSelection?.((kept) => showAll(kept, 120)); // while an axis is dragged, the charts wait
  document.documentElement.dataset.drawn = "yes";
};

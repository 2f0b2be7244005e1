// Two confusion matrices of any models, or their difference. A click on a cell shows its images.

const strengthOf = (count, most) =>
  count <= 0 || most <= 0 ? 0 : 0.15 + (0.85 * Math.log1p(count)) / Math.log1p(Math.max(most, count));

// A small share must not be rounded to zero.
const percentOf = (share) => (share === 1 ? "100" : (100 * share).toFixed(share && share < 0.0005 ? 2 : 1));

const viewOptions = (chosen) =>
  report.views.map((view) => {
    const option = element("option", { value: view.key }, `${view.title}, ${view.part}`);
    option.selected = view.key === chosen;
    return option;
  });

const digitsHead = () => {
  const row = element("tr", {}, element("th", { "aria-label": "true digit, predicted digit" }));
  for (let digit = 0; digit < 10; digit += 1) row.append(element("th", { scope: "col" }, String(digit)));
  return element("thead", {}, row);
};

const matrices = (onCell, onModel) => {
  const place = find("[data-matrices]");
  const percent = find("[data-percent]");
  const difference = find("[data-difference]");
  const featured = report.views.filter((view) => view.key === "leader" || view.key === "ensemble");
  const [first] = featured;
  const others = report.views.filter((view) => view.trial !== first.trial);
  const second =
    featured[1] ?? others.find((view) => view.part === first.part) ?? others[0] ?? report.views.find((view) => view.part !== first.part) ?? first;
  const chosen = [first.key, second.key];
  const panels = chosen.map((key, side) => {
    const select = element("select", { "aria-label": side ? "Model on the right" : "Model on the left" });
    select.append(...viewOptions(key));
    const caption = element("p", { class: "quiet" });
    const table = element("table", { class: "confusion" });
    const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, table);
    select.addEventListener("change", () => {
      chosen[side] = select.value;
      draw();
      onModel(select.value);
    });
    return { box: element("div", {}, select, caption, scroll), select, caption, table };
  });

  const cellOf = (key, row, column, value, text, most, kind) => {
    const cell = element("td", { class: kind });
    cell.style.setProperty("--strength", strengthOf(Math.abs(value), most).toFixed(3));
    if (value && row !== column && views.get(key).mistakes.length) {
      const label = `true ${row}, predicted ${column}: ${text}; show the images`;
      const button = element("button", { type: "button", class: "cell", "aria-label": label, title: label }, text);
      button.addEventListener("click", () => onCell(key, row, column));
      cell.append(button);
    } else {
      cell.append(text);
    }
    return cell;
  };

  // keyOf gives the view whose images a cell shows; a difference has signs, and one scale for all of its cells.
  const fill = (panel, counts, caption, keyOf, isDifference) => {
    const body = element("tbody");
    const largest = Math.max(...counts.flat().map(Math.abs));
    counts.forEach((cells, row) => {
      const total = cells.reduce((sum, count) => sum + Math.abs(count), 0);
      const line = element("tr", {}, element("th", { scope: "row" }, String(row)));
      cells.forEach((count, column) => {
        const asPercent = !isDifference && percent.checked && total > 0;
        const share = asPercent ? percentOf(count / total) : count;
        const text = isDifference && count > 0 ? `+${share}` : String(share);
        const isRight = isDifference ? count < 0 : row === column;
        const kind = count === 0 ? "none" : isRight ? "right" : "wrong";
        line.append(cellOf(keyOf(count), row, column, count, text, isDifference ? largest : total, kind));
      });
      body.append(line);
    });
    panel.caption.textContent = caption;
    panel.table.replaceChildren(digitsHead(), body);
  };

  const draw = () => {
    const [left, right] = chosen.map((key) => views.get(key));
    const captionOf = (view) =>
      `${view.error_count} of ${view.n.toLocaleString("en")} wrong, ${percentText(view.accuracy, view.n)}`;
    panels[0].select.value = left.key;
    panels[1].select.value = right.key;
    fill(panels[0], confusionOf(left), captionOf(left), () => left.key, false);
    if (!difference.checked) {
      fill(panels[1], confusionOf(right), captionOf(right), () => right.key, false);
      return;
    }
    if (left.part !== right.part || left.n !== right.n) {
      panels[1].table.replaceChildren();
      panels[1].caption.textContent = `Cannot subtract ${right.title}, ${right.part}: the two were scored on different images.`;
      return;
    }
    const other = confusionOf(right);
    const counts = confusionOf(left).map((cells, row) => cells.map((count, column) => count - other[row][column]));
    const caption = `left minus ${right.title}, number of images`;
    fill(panels[1], counts, caption, (count) => (count > 0 ? left.key : right.key), true);
  };

  for (const box of [percent, difference]) box.addEventListener("change", draw);
  place.replaceChildren(...panels.map((panel) => panel.box));
  draw();
  return { show: (key) => { chosen[0] = key; draw(); } };
};

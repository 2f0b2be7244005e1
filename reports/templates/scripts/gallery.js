// The misclassified images of any model, filtered by true and predicted digit.

const STEP = 48;

const pictureOf = (image, label) => {
  const place = report.images.place[image];
  if (place === null) return element("span", { class: "digit missing" }, "no image");
  const columns = report.sheet.columns;
  const made = element("span", { class: "digit", role: "img", "aria-label": label, title: label });
  made.style.setProperty("--x", place % columns);
  made.style.setProperty("--y", Math.floor(place / columns));
  return made;
};

const mistakeItem = (mistake) => {
  const [image, pTrue, ...likeliest] = mistake;
  const label = report.images.label[image];
  const predicted = likeliest[0];
  const title = element("strong", {}, `${label} read as ${predicted}`);
  if (report.images.contested[image]) {
    title.append(" ", element("abbr", { title: "label disputed in the literature" }, "\u2020"));
  }
  const lines = [];
  let known = false;
  for (let at = 0; at < likeliest.length; at += 2) {
    lines.push(`${likeliest[at]}: ${chanceText(likeliest[at + 1])}`);
    known ||= likeliest[at] === label;
  }
  if (!known) lines.push(`${label}: ${chanceText(pTrue)}`);
  const { missed_by: missedBy, models, name } = report.images;
  const quiet = element("span", { class: "quiet" }, `image ${name[image]}`, element("br"), `missed by ${missedBy[image]} of ${models[image]} models`);
  const item = element("li", {}, pictureOf(image, `A ${label}, read as ${predicted}`), title, element("br"));
  for (const line of lines) item.append(line, element("br"));
  item.append(quiet);
  return item;
};

const gallery = (onChange) => {
  const place = find("[data-gallery]");
  const said = find("[data-gallery-count]");
  const selects = {
    view: find("[data-gallery-view]"),
    row: find("[data-gallery-true]"),
    column: find("[data-gallery-predicted]"),
  };
  selects.view.append(...viewOptions("leader"));
  for (const select of [selects.row, selects.column]) {
    select.append(element("option", { value: "" }, "any"));
    for (let digit = 0; digit < 10; digit += 1) select.append(element("option", { value: String(digit) }, String(digit)));
  }

  const draw = (limit = STEP) => {
    const view = views.get(selects.view.value);
    const fits = (wanted, digit) => wanted === "" || Number(wanted) === digit;
    const wrong = view.confusion.filter(
      ([row, column]) => row !== column && fits(selects.row.value, row) && fits(selects.column.value, column),
    );
    const total = wrong.reduce((sum, [, , count]) => sum + count, 0);
    const kept = view.mistakes.filter(
      (mistake) => fits(selects.row.value, report.images.label[mistake[0]]) && fits(selects.column.value, mistake[2]),
    );
    const list = element("ol", { class: "mistakes" });
    list.append(...kept.slice(0, limit).map(mistakeItem));
    place.replaceChildren(total ? list : element("p", {}, "None."));
    if (kept.length > limit) {
      const more = element("button", { type: "button" }, `show ${Math.min(STEP, kept.length - limit)} more`);
      more.addEventListener("click", () => draw(limit + STEP));
      place.append(more);
    }
    const missing = total - kept.length;
    const held = view.mistakes.length ? `the ${kept.length} most confident` : "only the confusion matrix of this trial, no images";
    said.textContent = `${total} of ${view.n.toLocaleString("en")} images` + (missing ? `; the page holds ${held}` : "");
  };

  for (const select of Object.values(selects)) {
    select.addEventListener("change", () => {
      draw();
      onChange(selects.view.value, selects.row.value, selects.column.value);
    });
  }
  draw();
  return {
    show: (key, row = "", column = "") => {
      selects.view.value = key;
      selects.row.value = row;
      selects.column.value = column;
      draw();
    },
  };
};

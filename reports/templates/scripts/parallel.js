// Parallel coordinates: a line per trial, an axis per field. Dragging along an axis chooses trials.

// Heights of a field's values on its axis, 0 at the bottom: even steps for names, otherwise as on a (log) scale.
const scaleOf = (field) => {
  const present = [...new Set(field.values.filter((value) => value !== null))];
  if (!field.numeric) {
    const names = present.map(String).sort();
    const height = (value) => (names.length > 1 ? names.indexOf(String(value)) / (names.length - 1) : 0.5);
    return { names, height, ticks: names.map((name) => [name, height(name)]), within: (low, high) => new Set(names.filter((name) => height(name) >= low && height(name) <= high)) };
  }
  const [lowest, highest] = [Math.min(...present), Math.max(...present)];
  const onAxis = field.log && lowest > 0 ? Math.log : (value) => value;
  const back = onAxis === Math.log ? Math.exp : (value) => value;
  const [least, most] = [lowest, highest].map(onAxis);
  const span = most - least || 1;
  const height = (value) => (onAxis === Math.log && value <= 0 ? 0 : (onAxis(value) - least) / span);
  const ticks = present.length <= 6 ? present : [back(least), back((least + most) / 2), back(most)];
  const rounded = (value) => Number(value.toPrecision(6));
  // The ends are the values themselves: a logarithm and back may miss them by a bit.
  const within = (low, high) => ({
    low: low <= 0 ? lowest : rounded(back(least + low * span)),
    high: high >= 1 ? highest : rounded(back(least + high * span)),
  });
  return { lowest, highest, height, ticks: ticks.map((value) => [fieldText(value), height(value)]), within };
};

const parallel = () => {
  const place = find("[data-parallel]");
  if (!place || !fields.length) return;
  const [top, bottom, height] = [34, 12, 380];
  const length = height - top - bottom;
  const scales = fields.map(scaleOf);
  const trials = report.trials.trial;
  const y = (share) => top + length * (1 - share);
  let lines = [];

  // The line's parts where neighbouring fields apply, and those that pass a field that does not.
  const pathsOf = (row, x) => {
    let [solid, gaps, last] = ["", "", null];
    fields.forEach((field, axis) => {
      const value = field.values[row];
      if (value === null) return;
      const here = `${x(axis).toFixed(1)} ${y(scales[axis].height(value)).toFixed(1)}`;
      if (last && axis - last.axis > 1) gaps += `M${last.here}L${here}`;
      solid += `${last && axis - last.axis === 1 ? "L" : "M"}${here}`;
      last = { axis, here };
    });
    return [solid, gaps];
  };

  const drag = (field, scale, target, brush) => {
    let from = null;
    const shareAt = (event) => Math.min(1, Math.max(0, 1 - (event.clientY - target.ownerSVGElement.getBoundingClientRect().top - top) / length));
    const choose = (event) => {
      const [low, high] = [from, shareAt(event)].sort((a, b) => a - b);
      const wanted = high - low < 0.01 ? null : scale.within(low - 0.02, high + 0.02);
      selection.choose(field.name, wanted instanceof Set && !wanted.size ? null : wanted);
      if (wanted) brush(low, high);
    };
    target.addEventListener("pointerdown", (event) => {
      from = shareAt(event);
      target.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    target.addEventListener("pointermove", (event) => { if (from !== null) choose(event); });
    target.addEventListener("pointerup", (event) => { if (from !== null) choose(event); from = null; });
    target.addEventListener("pointercancel", () => { from = null; });
  };

  const brushes = [];
  const showBrushes = () => fields.forEach((field, axis) => {
    const wanted = selection.get(field.name);
    const scale = scales[axis];
    if (!wanted) return brushes[axis](null);
    const heights = (wanted instanceof Set ? [...wanted] : [wanted.low, wanted.high]).map(scale.height);
    brushes[axis](Math.max(0, Math.min(...heights) - 0.02), Math.min(1, Math.max(...heights) + 0.02));
  });

  const draw = (width) => {
    const x = (axis) => 14 + (axis * (width - 110)) / Math.max(fields.length - 1, 1);
    const svg = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${trials.length} trials across ${fields.length} fields` });
    lines = trials.map((trial, row) => {
      const [solid, gaps] = pathsOf(row, x);
      const line = drawn("g", { class: `line fifth-${Math.min(4, Math.floor((5 * row) / trials.length))}` }, drawn("title", {}, `trial ${trial}`), drawn("path", { d: solid }));
      if (gaps) line.append(drawn("path", { d: gaps, class: "gap" }));
      line.addEventListener("click", () => { location.hash = `trial=${trial}`; });
      return line;
    });
    svg.append(...[...lines].reverse()); // the best on top
    fields.forEach((field, axis) => {
      const group = drawn("g", { transform: `translate(${x(axis).toFixed(1)} 0)`, class: "axis-of-field" });
      const title = drawn("text", { y: 14, x: axis ? -4 : -12 }, fieldTitle(field.name));
      title.append(drawn("title", {}, field.name));
      const mark = drawn("rect", { x: -7, width: 14, class: "brush", visibility: "hidden" });
      const target = drawn("rect", { x: -16, y: top - 8, width: 32, height: length + 16, class: "grip" });
      group.append(title, drawn("line", { y1: top, y2: top + length }), mark);
      for (const [text, share] of scales[axis].ticks) group.append(drawn("text", { x: 8, y: y(share) + 4, class: "tick" }, text));
      group.append(target);
      svg.append(group);
      brushes[axis] = (low, high) => {
        mark.setAttribute("visibility", low === null ? "hidden" : "visible");
        if (low === null) return;
        mark.setAttribute("y", y(high));
        mark.setAttribute("height", Math.max(2, length * (high - low)));
      };
      drag(field, scales[axis], target, brushes[axis]);
    });
    place.replaceChildren(svg);
  };

  const choices = find("[data-choices]");
  const choicesOf = (field, axis) => {
    const box = element("fieldset", {}, element("legend", {}, fieldTitle(field.name)));
    const { names, lowest, highest } = scales[axis];
    if (field.numeric) {
      const [low, high] = [["from", lowest], ["to", highest]].map(([word, end]) => {
        const input = element("input", { type: "number", step: "any", placeholder: fieldText(end), "aria-label": `${field.name} ${word}` });
        box.append(element("label", {}, `${word} `, input));
        return input;
      });
      const change = () => {
        const wanted = { low: low.value === "" ? lowest : Number(low.value), high: high.value === "" ? highest : Number(high.value) };
        selection.choose(field.name, low.value === "" && high.value === "" ? null : wanted);
      };
      low.addEventListener("change", change);
      high.addEventListener("change", change);
      return { box, show: () => {
        const wanted = selection.get(field.name);
        for (const [input, end] of [[low, "low"], [high, "high"]]) if (document.activeElement !== input) input.value = wanted ? String(wanted[end]) : "";
      } };
    }
    const boxes = names.map((value) => {
      const input = element("input", { type: "checkbox", value });
      box.append(element("label", {}, input, ` ${value}`));
      input.addEventListener("change", () => {
        const wanted = new Set(boxes.filter((one) => one.checked).map((one) => one.value));
        selection.choose(field.name, wanted.size ? wanted : null);
      });
      return input;
    });
    return { box, show: () => { for (const one of boxes) one.checked = Boolean(selection.get(field.name)?.has(one.value)); } };
  };
  const controls = fields.map(choicesOf);
  choices.append(...controls.map((control) => control.box));

  const show = (kept) => {
    lines.forEach((line, row) => line.classList.toggle("out", Boolean(kept) && !kept.has(trials[row])));
    showBrushes();
    for (const control of controls) control.show();
  };
  let last = null;
  selection.listen((kept) => { last = kept; show(kept); });
  let width = null;
  const fit = () => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    draw(Math.max(width, 300));
    show(last);
  };
  fit();
  new ResizeObserver(fit).observe(place);
};

// One trial in a panel beside the page: recipe, curves, confusion, mistakes, seeds, cost, commands.

const commandOf = (name, number) => {
  const command = report.commands[name];
  const at = command.lastIndexOf("0"); // stands for the number
  return command.slice(0, at) + number + command.slice(at + 1);
};

const curveOf = (curve) => {
  const [width, height, margin] = [300, 110, 6];
  const series = [["training loss", curve.train_loss], ["validation NLL", curve.validation_nll]];
  const values = series.flatMap(([, list]) => list).filter((value) => value > 0);
  if (!values.length) return "";
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  const epochs = curve.validation_nll.length;
  if (epochs === 1) return element("p", {}, `One epoch: training loss ${fieldText(curve.train_loss[0])}, validation NLL ${fieldText(curve.validation_nll[0])}.`);
  const x = (epoch) => margin + ((width - 2 * margin) * epoch) / Math.max(epochs - 1, 1);
  const y = (value) => margin + ((height - 2 * margin) * (high - Math.log(value))) / (high - low || 1);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "curves", role: "img", "aria-label": `Loss over ${epochs} epochs` });
  for (const [name, list] of series) {
    const points = list.map((value, epoch) => [epoch, value]).filter(([, value]) => value > 0).map(([epoch, value]) => `${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`);
    const path = points.length === 1 ? `M${points[0]}h.1` : `M${points.join("L")}`; // the other epochs have no number
    svg.append(drawn("path", { d: path, class: name === "training loss" ? "train" : "validation" }, drawn("title", {}, name)));
  }
  const lowest = Math.min(...curve.validation_nll.filter((value) => value !== null));
  return element("figure", {}, svg, element("figcaption", { class: "quiet" }, `${epochs} epochs; validation NLL down to ${lowest.toFixed(4)} (solid), training loss on augmented images (dotted), log scale`));
};

const smallMatrix = (view) => {
  const body = element("tbody");
  confusionOf(view).forEach((cells, row) => {
    const total = cells.reduce((sum, count) => sum + count, 0);
    const line = element("tr", {}, element("th", { scope: "row" }, String(row)));
    cells.forEach((count, column) => {
      const cell = element("td", { class: count === 0 ? "none" : row === column ? "right" : "wrong" });
      if (count && row !== column) cell.append(count > 99 ? element("small", {}, String(count)) : String(count));
      cell.style.setProperty("--strength", strengthOf(count, total).toFixed(2));
      line.append(cell);
    });
    body.append(line);
  });
  return element("table", { class: "confusion mini", "aria-label": "Confusion matrix" }, digitsHead(), body);
};

// What this model misses and another does not: the question behind most looks at a trial.
const missedBeside = (view) => {
  const others = report.views.filter((one) => one.key !== view.key && one.part === view.part && one.mistakes.length && one.trial !== view.trial);
  const select = element("select", {}, element("option", { value: "" }, "(no comparison)"));
  for (const one of others) select.append(element("option", { value: one.key }, one.title));
  const list = element("ol", { class: "mistakes" });
  const said = element("p", { class: "quiet", role: "status" });
  const more = element("button", { type: "button" });
  const draw = (limit = STEP) => {
    const other = views.get(select.value);
    const theirs = new Set(other ? other.mistakes.map(([image]) => image) : []);
    const mine = view.mistakes.filter(([image]) => !theirs.has(image));
    list.replaceChildren(...mine.slice(0, limit).map(mistakeItem));
    more.hidden = mine.length <= limit;
    more.textContent = `show all ${mine.length}`;
    const all = view.error_count > view.mistakes.length || (other && other.error_count > other.mistakes.length) ? " of those that the page holds" : "";
    said.textContent = other
      ? `${mine.length}${all} that ${other.title} gets right; both miss ${view.mistakes.length - mine.length}.`
      : `${view.error_count} of ${view.n.toLocaleString("en")}, ${view.part}${view.mistakes.length < view.error_count ? `; the ${view.mistakes.length} most confident are on this page` : ""}.`;
  };
  select.addEventListener("change", () => draw());
  more.addEventListener("click", () => draw(Infinity));
  draw();
  return [element("h3", {}, "Missed images"), element("p", {}, element("label", {}, "Missed here, but not by ", select)), said, list, more];
};

const recipeList = (recipe) => {
  const list = element("dl", { class: "recipe" });
  for (const [name, value] of Object.entries(recipe)) {
    const differs = String(report.defaults[name]) !== String(value) && name !== "training.seed";
    const said = element(differs ? "b" : "span", {}, typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value));
    list.append(element("div", {}, element("dt", {}, name), element("dd", {}, said)));
  }
  return [element("h3", {}, "Recipe"), element("p", { class: "quiet" }, "Bold: not the default."), list];
};

const commandList = (commands) => {
  const list = element("ul", { class: "commands" });
  for (const [what, command] of commands) list.append(element("li", {}, `${what}: `, element("code", {}, command)));
  return [element("h3", {}, "Commands"), list];
};

const capitalised = (text) => text[0].toUpperCase() + text.slice(1);

const trialPanel = (order) => {
  const place = find("[data-panel]");
  const columns = report.trials;
  const searched = report.sweep.kind === "sweep";
  let shown = null;
  let from = null;

  const recipeAt = (row) => Object.fromEntries(Object.entries(columns).filter(([name]) => name in report.defaults).map(([name, list]) => [name, list[row]]));

  const bodyOf = (trial) => {
    const row = columns.trial.indexOf(trial);
    const failure = report.failures.find((one) => one.trial === trial);
    if (row < 0 && !failure) return null;
    if (row < 0) {
      const trace = find(`[id="trial=${trial}"] pre`)?.textContent ?? "";
      return [
        element("p", {}, element("strong", {}, "It failed: "), failure.error),
        ...commandList([["Try it again", commandOf("replay", trial)]]),
        ...recipeList(failure.recipe),
        ...(trace ? [element("h3", {}, "Traceback"), element("pre", {}, trace)] : []),
      ];
    }
    const candidate = report.leaderboard.rows.find((one) => (searched ? one.trial === trial : one.trials.includes(trial)));
    const told = [];
    if (candidate && searched) {
      told.push(`Rank ${candidate.rank}${candidate.verdict === "leads" ? ", the leader" : `: ${candidate.verdict === "tied" ? "tied with the leader" : `${candidate.verdict} than the leader`}`}.`);
      for (const [part, answers] of [[report.leaderboard.part, candidate.validation], ["sealed test", candidate.test]]) {
        if (!answers) continue;
        const [low, high] = answers.accuracy_interval.map((end) => (100 * end).toFixed(decimals(answers.n)));
        told.push(`${capitalised(part)}: ${answers.error_counts.join(", ")} of ${answers.n.toLocaleString("en")} wrong, ${percentText(answers.accuracy, answers.n)} (${low} to ${high}), NLL ${answers.nll.toFixed(4)}, Brier ${answers.brier.toFixed(4)}, ECE ${answers.ece.toFixed(4)}.`);
      }
      const several = candidate.seeds.length > 1;
      told.push(`${several ? "Seeds" : "Seed"} ${candidate.seeds.join(", ")}${candidate.confirmed ? `, fresh ${several ? "ones" : "one"}` : ""}.`);
      if (candidate.searched_epochs) told.push(`Trained for ${candidate.recipe.training.epochs} epochs on fresh seeds, for ${candidate.searched_epochs} in the search.`);
    } else {
      told.push(`${capitalised(report.leaderboard.part)}: ${columns.validation_error_count[row].toLocaleString("en")} of ${columns.validation_n[row].toLocaleString("en")} wrong, NLL ${columns.validation_nll[row].toFixed(4)}. Seed ${columns["training.seed"][row]}.`);
    }
    const cost = [`${columns.train_seconds[row].toFixed(1)} s for ${columns.epochs[row]} epoch${columns.epochs[row] === 1 ? "" : "s"}`, `${columns.parameters[row].toLocaleString("en")} parameters`];
    if (candidate?.image_seconds) cost.push(`${(1e6 * candidate.image_seconds).toFixed(0)} microseconds an image`);
    told.push(`Cost: ${cost.join(", ")}.`);
    const view = views.get(`trial-${trial}`);
    const commands = [["Repeat", searched && candidate ? candidate.reproduce : commandOf("replay", trial)]];
    if (report.exportable.includes(trial)) commands.push(["Export", commandOf("export", trial)]);
    if (searched && candidate) commands.push([candidate.rank === 1 ? "Train it again on fresh seeds" : `Train the first ${candidate.rank} again on fresh seeds`, commandOf("confirm", candidate.rank)]);
    const curve = report.curves[trial];
    if (searched && candidate?.confirmed) told.push("The curve, the confusion matrix and the missed images below are those of the search\u2019s own run.");
    return [
      ...told.map((line) => element("p", {}, line)),
      element("div", { class: "beside-curve" }, ...(curve ? [curveOf(curve)] : []), ...(view ? [smallMatrix(view)] : [])),
      ...commandList(commands),
      ...(view?.mistakes.length ? missedBeside(view) : []),
      ...recipeList(recipeAt(row)),
    ];
  };

  const button = (label, text, action) => {
    const made = element("button", { type: "button", "aria-label": label, title: label }, text);
    made.addEventListener("click", action);
    return made;
  };

  const close = () => {
    place.hidden = true;
    document.documentElement.classList.remove("with-panel");
    shown = null;
  };
  const hide = () => {
    if (place.hidden) return false;
    close();
    const parts = address.read();
    parts.delete("trial");
    address.write(parts);
    from?.focus({ preventScroll: true });
    return true;
  };
  const step = (by) => {
    if (place.hidden) return false;
    const trials = order();
    const at = trials.indexOf(shown);
    const next = trials[at < 0 ? 0 : at + by];
    if (next !== undefined) location.hash = `trial=${next}`;
    return true;
  };
  const show = (asked) => {
    const trial = /^\d+$/.test(asked) ? Number(asked) : null;
    const body = trial === null ? null : bodyOf(trial);
    if (place.hidden) from = document.activeElement === document.body ? find(`[id="trial=${asked}"] a`) : document.activeElement;
    const head = element("header", {}, element("h2", { id: "panel-title" }, trial === null ? "No such trial" : `Trial ${trial}`), button("The previous trial", "\u2039", () => step(-1)), button("The next trial", "\u203a", () => step(1)), button("Close", "\u00d7", hide));
    place.replaceChildren(head, ...(body ?? [element("p", {}, `This page has no trial ${asked}.`)]));
    place.hidden = false;
    document.documentElement.classList.add("with-panel");
    place.scrollTop = 0;
    place.focus({ preventScroll: true });
    shown = trial;
  };
  return { show, hide, close, step };
};

// Tables that sort by a click or a key on their heads.

const sortable = (table) => {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const number = new Intl.Collator("en", { numeric: true });

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.v;
    return value === undefined ? cell.textContent.trim() : Number(value);
  };

  const sort = (column) => {
    const head = heads[column];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const turn = down ? -1 : 1;
    const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
    // What has no figure in this column stays below, whichever way it is sorted.
    const compare = ([a], [b]) => {
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return turn * (typeof a === "number" ? a - b : number.compare(a, b));
    };
    // Outside the document rows move at a fraction of the cost.
    body.remove();
    body.append(...rows.sort(compare).map(([, row]) => row));
    table.append(body);
    table.dispatchEvent(new Event("sorted"));
  };

  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = element("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(column));
  });
};

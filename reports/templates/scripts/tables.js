// Tables that sort when a column head is clicked or activated by keyboard.

// Returns the rows in their order, and `show`, which puts them into the table; replace it to show only some.
const sortable = (table) => {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const words = new Intl.Collator("en", { numeric: true });
  const sorter = { rows, show: () => body.append(...rows) };

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
    const keys = new Map(rows.map((row) => [row, keyOf(row, column)]));
    // Rows without a number in this column stay at the bottom in either direction.
    rows.sort((first, second) => {
      const [a, b] = [keys.get(first), keys.get(second)];
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return turn * (typeof a === "number" ? a - b : words.compare(a, b));
    });
    sorter.show();
  };

  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = element("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(column));
  });
  return sorter;
};

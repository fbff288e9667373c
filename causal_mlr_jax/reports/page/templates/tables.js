"use strict";
// Sorting: a button in each head of a column; searching: a field for a table.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const text = column === 0 || head.dataset.kind === "text";
      const now = head.getAttribute("aria-sort");
      const first = text ? "ascending" : "descending";
      const second = text ? "descending" : "ascending";
      const order = now === first ? second : first;
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order);
      sort(table.tBodies[0], column, text, order === "ascending" ? 1 : -1);
    });
  });
}

function sort(body, column, text, sign) {
  const key = (row) => {
    const cell = row.cells[column];
    if (text) return cell.textContent.trim();
    return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  };
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => {
    if (text) return sign * a.localeCompare(b, undefined, { numeric: true });
    // What is not known stands last in both orders.
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a - b);
  });
  body.append(...rows.map(([, row]) => row));
}

for (const field of document.querySelectorAll("input[data-searches]")) {
  const table = document.getElementById(field.dataset.searches);
  const said = document.getElementById(field.getAttribute("aria-describedby"));
  const rows = [...table.tBodies[0].rows];
  const plain = (text) => text.normalize("NFKC").toLocaleLowerCase();
  field.addEventListener("input", () => {
    const wanted = plain(field.value.trim());
    let shown = 0;
    for (const row of rows) {
      row.hidden = !plain(row.cells[0].textContent).includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    said.textContent = `${shown} of ${rows.length}`;
  });
}
for (const element of document.querySelectorAll(".search")) element.hidden = false;
// What is folded on the screen is printed as well.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});

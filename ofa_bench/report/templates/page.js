"use strict";
(() => {
  // A cell sorts by the number it names, or that its first line is.
  const key = (row, column) => {
    const cell = row.cells[column], text = (cell.firstChild?.textContent ?? "").trim();
    const value = cell.dataset.v ?? text;
    return value !== "" && !isNaN(value) ? Number(value) : text;
  };

  // Cells without a number go last, whichever way the column is sorted.
  const compare = (a, b, sign) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
  };

  const sort = (table, head) => {
    const up = head.getAttribute("aria-sort") !== "ascending", column = head.cellIndex;
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0], sign = up ? 1 : -1;
    const rows = [...body.rows].map(row => [key(row, column), row]);
    rows.sort(([a], [b]) => compare(a, b, sign));
    body.append(...rows.map(([, row]) => row));
  };

  document.querySelectorAll("table.sortable th button").forEach(button => {
    button.addEventListener("click", () => sort(button.closest("table"), button.closest("th")));
  });

  document.querySelectorAll(".filter input").forEach(input => {
    const body = input.closest(".filter").nextElementSibling.querySelector("tbody"), count = input.parentElement.querySelector("output");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
      }
      const shown = [...body.rows].filter(row => !row.hidden).length;
      count.textContent = words.length ? `${shown} of ${body.rows.length}` : "";
    });
  });
})();

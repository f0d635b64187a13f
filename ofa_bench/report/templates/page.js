"use strict";
(() => {
  const touch = matchMedia("(pointer: coarse)").matches;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();

  // Figures name colours as CSS variables; charts want their values.
  const painted = (value, key, style) => {
    if (Array.isArray(value)) return value.map(each => painted(each, key, style));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, painted(v, k, style)]));
    const named = typeof value === "string" && /color$/.test(key) && /^var\((--[\w-]+)\)$/.exec(value);
    return named ? style.getPropertyValue(named[1]).trim() : value;
  };

  const draw = chart => {
    const spec = JSON.parse(document.getElementById(chart.id + "-data").textContent);
    const { data, layout } = painted(spec, "", getComputedStyle(document.documentElement));
    if (chart.clientWidth < 520) layout.font.size = 11;
    if (touch) layout.dragmode = false;
    const config = {
      responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    };
    Plotly.react(chart, data, layout, config);
    drawn.add(chart);
  };

  const charts = [...document.querySelectorAll(".chart")];
  const near = new IntersectionObserver(seen => {
    for (const { isIntersecting, target } of seen)
      if (isIntersecting) { near.unobserve(target); draw(target); }
  }, { rootMargin: "800px" });
  charts.forEach(chart => near.observe(chart));
  dark.addEventListener("change", () => drawn.forEach(draw));
  addEventListener("beforeprint", () => charts.filter(each => !drawn.has(each)).forEach(draw));

  const key = (row, column) => {
    const cell = row.cells[column], value = cell.dataset.v;
    return value === undefined ? cell.textContent.trim() : Number(value);
  };

  // Cells without a number go last, whichever way the column is sorted.
  const compare = (a, b, sign) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
  };

  const sort = (table, head) => {
    const up = head.getAttribute("aria-sort") !== "ascending", column = head.cellIndex;
    table.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
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
    const body = input.closest(".filter").nextElementSibling.querySelector("tbody");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
      }
    });
  });
})();

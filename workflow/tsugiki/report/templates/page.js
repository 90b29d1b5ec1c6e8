// Sorts a table by a column, and opens for printing what is folded. Without it the page is complete.
"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (!table.tHead || body.rows.length < 2) continue;
  const first = [...body.rows];
  const columns = [...table.tHead.rows[0].cells];
  columns.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const numeric = head.classList.contains("number");
      // the first click shows the largest number first, the third the rows as they were
      const order = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
      const now = order[(order.indexOf(was) + 1) % 3];
      columns.forEach((one) => one.removeAttribute("aria-sort"));
      if (now) head.setAttribute("aria-sort", now);
      const sign = now === "descending" ? -1 : 1;
      body.append(...(now ? [...first].sort((a, b) => compare(a, b, column, numeric, sign)) : first));
    });
  });
}

function compare(a, b, column, numeric, sign) {
  const [left, right] = [a, b].map((row) => value(row, column, numeric));
  if (left === right) return 0;
  if (left === null) return 1; // what is not known comes last, either way
  if (right === null) return -1;
  return sign * (numeric ? left - right : left.localeCompare(right, undefined, { numeric: true }));
}

function value(row, column, numeric) {
  const text = (row.cells[column] ? row.cells[column].textContent : "").trim();
  if (!numeric) return text === "" || text === "\u2013" ? null : text;
  if (/\d\s*(s|min|h)(\s|$)/.test(text)) {
    const units = { d: 86400, h: 3600, min: 60, s: 1 };
    return [...text.matchAll(/([\d.]+)\s*(d|h|min|s)/g)].reduce((sum, [, n, unit]) => sum + n * units[unit], 0);
  }
  const found = text.replaceAll("\u2212", "-").replaceAll(",", "").match(/-?\d+(\.\d+)?(e[-+]?\d+)?/);
  return found ? Number(found[0]) : null;
}

addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) {
    one.open = true;
    one.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-folded]")) one.open = false;
});

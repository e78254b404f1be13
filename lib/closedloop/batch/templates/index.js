"use strict";
const query = document.getElementById("query");
const found = document.getElementById("found");
const rows = Array.from(document.querySelectorAll("tr[data-text]"));
const first = document.querySelectorAll("details.period[open]");
query.addEventListener("input", () => {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    row.hidden = !words.every((word) => row.dataset.text.includes(word));
    shown += row.closest("details") && !row.hidden ? 1 : 0;
  }
  for (const part of document.querySelectorAll("tbody, details.period, section")) {
    part.hidden = words.length > 0 && !part.querySelector("tr[data-text]:not([hidden])");
  }
  for (const period of document.querySelectorAll("details.period")) {
    period.open = words.length > 0 || Array.from(first).includes(period);
  }
  found.textContent = words.length ? shown + (shown === 1 ? " run" : " runs") : "";
});

// Puts two frameworks' code side by side under a section, and marks the lines that differ.
// Which lines do is found when the site is built; the code is that of the tabs above.

/** The lines of a tab's code as HTML, blocks that a note keeps apart joined, and their numbers. */
function readLines(content) {
  const lines = [];
  for (const block of content.querySelectorAll("div.highlight pre")) {
    for (const line of block.innerHTML.replace(/\n$/, "").split("\n")) {
      const number = line.match(/<span class="linenos">\s*(\d+)\s*<\/span>/);
      lines.push({ number: number ? number[1] : "", html: line.replace(/<span class="linenos">.*?<\/span>/, "") });
    }
  }
  return lines;
}

/** The tabs above: each framework's content by its name. */
function readTabs(tabs) {
  const found = new Map();
  for (const label of tabs.querySelectorAll(":scope > label")) {
    found.set(label.dataset.syncId, label.nextElementSibling);
  }
  return found;
}

/** Which framework's tab is shown. */
function shown(tabs) {
  return tabs.querySelector(":scope > input:checked + label").dataset.syncId;
}

/** A table of two pieces of code; `rows` are those of Python's difflib. */
function makeTable(ours, theirs, rows, titles) {
  const table = document.createElement("table");
  table.className = "highlight";
  for (const name of ["number", "", "number", ""]) {
    const column = document.createElement("col");
    column.className = name;
    table.append(column);
  }
  const head = table.createTHead().insertRow();
  for (const title of titles) {
    const cell = document.createElement("th");
    cell.colSpan = 2;
    cell.scope = "colgroup";
    cell.textContent = title;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const [tag, first, last, start, end] of rows) {
    for (let place = 0; place < Math.max(last - first, end - start); place += 1) {
      const row = body.insertRow();
      if (tag !== "equal") row.className = "differs";
      for (const line of [
        first + place < last ? ours[first + place] : null,
        start + place < end ? theirs[start + place] : null,
      ]) {
        const number = row.insertCell();
        number.className = "number";
        number.textContent = line ? line.number : "";
        const code = row.insertCell();
        if (line) code.innerHTML = line.html;
        else code.className = "none";
      }
    }
  }
  return table;
}

/** The choice of a framework to compare with, and what it shows. */
function offer(place) {
  const data = JSON.parse(place.dataset.differences);
  const tabs = place.previousElementSibling;
  const select = document.createElement("select");
  const label = document.createElement("label");
  label.append(data.differences, select);
  const beside = document.createElement("div");
  beside.className = "beside";
  beside.tabIndex = 0;
  beside.hidden = true;
  beside.setAttribute("role", "region");
  place.append(label, beside);

  function refill() {
    const chosen = select.value;
    const others = Object.keys(data.titles).filter((name) => name !== shown(tabs));
    select.replaceChildren(
      new Option(data.nothing, ""),
      ...others.map((name) => new Option(data.titles[name], name)),
    );
    select.value = others.includes(chosen) ? chosen : "";
    compare();
  }

  function compare() {
    const [ours, theirs] = [shown(tabs), select.value];
    beside.hidden = !theirs;
    beside.replaceChildren();
    if (!theirs) return;
    const rows = data.rows[`${ours} ${theirs}`];
    const titles = [data.titles[ours], data.titles[theirs]];
    beside.setAttribute("aria-label", titles.join(" – "));
    if (rows.every(([tag]) => tag === "equal")) {
      beside.textContent = data.same;
      return;
    }
    const found = readTabs(tabs);
    const [left, right] = [readLines(found.get(ours)), readLines(found.get(theirs))];
    beside.append(makeTable(left, right, rows, titles));
  }

  select.addEventListener("change", compare);
  // All tabs of the page follow the one that was changed, and that event rises to the document.
  document.addEventListener("change", (event) => {
    if (event.target.matches(".sd-tab-set > input")) refill();
  });
  refill();
}

// By then sphinx-design has chosen the framework of the visit.
window.addEventListener("load", () => document.querySelectorAll(".differences").forEach(offer));

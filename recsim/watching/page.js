// The page of an episode: draws a step of the data that the page holds, and steps through them.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("episode").textContent);
  const numSteps = data.steps.length;
  const byId = (id) => document.getElementById(id);

  // Elements.

  const SVG = "http://www.w3.org/2000/svg";

  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  function drawing(tag, attributes, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // Numbers as text.

  function shown(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value)) return value.toLocaleString("en");
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-3) return value.toExponential(2);
    if (size >= 1000) return Math.round(value).toLocaleString("en");
    return size >= 100 ? value.toFixed(1) : value.toPrecision(3);
  }

  // Two numbers that differ, in as many digits as show it.
  function change(before, after) {
    let texts = [before, after].map(shown);
    for (let digits = 4; texts[0] === texts[1] && digits < 8; digits++) {
      texts = [before, after].map((value) =>
        value.toLocaleString("en", { maximumSignificantDigits: digits }));
    }
    return texts.join(" → ");
  }

  const percent = (chance) => `${(100 * chance).toFixed(1)}%`;

  // Arrays as bars: paths within the width and a height, 0 at the bottom or where it is in between.

  function bars(values, column, height, width = 100) {
    const low = Math.min(0, column.low), high = Math.max(0, column.high);
    const y = (value) => height * (1 - (value - low) / (high - low || 1));
    const step = width / values.length, gap = step > 2 ? 0.15 * step : 0;
    const parts = values.map((value, i) => {
      if (value === null) return "";
      const thin = Math.abs(y(value) - y(0)) < 0.02 * height ? 0.02 * height : 0;
      const x = (i * step + gap).toFixed(2), right = ((i + 1) * step - gap).toFixed(2);
      return `M${x} ${(y(0) + thin / 2).toFixed(2)}V${(y(value) - thin / 2).toFixed(2)}` +
        `H${right}V${(y(0) + thin / 2).toFixed(2)}Z`;
    });
    return parts;
  }

  function strip(values, column) {
    const path = drawing("path", { class: "value", d: bars(values, column, 20).join("") });
    const svg = drawing("svg", { class: "strip", viewBox: "0 0 100 20", role: "img",
      preserveAspectRatio: "none", "aria-label": values.map(shown).join(", ") }, path);
    return svg;
  }

  function valueOf(value, column) {
    if (!Array.isArray(value)) return shown(value);
    return value.length <= 4 ? value.map(shown).join(", ") : strip(value, column);
  }

  function more(column) {
    if (column.kind === "one-hot") return " (one-hot)";
    return column.kind === "vector" && column.size > data.most_entries
      ? ` (the first ${data.most_entries} of ${column.size})` : "";
  }

  // The slate and the user's choice.

  function drawSlate(index) {
    const step = data.steps[index], set = data.sets[step.set];
    const items = step.slate.map((candidate, position) => {
      const facts = element("div", "facts");
      data.features.forEach((column, number) => {
        facts.append(fact(column, set.columns[number][candidate]));
      });
      data.responses.forEach((column, number) => {
        const values = step.responses[number];
        if (values && column.new) facts.append(fact(column, values[position]));
      });
      const chosen = step.clicked !== null && step.clicked.includes(position);
      return choice(`${position + 1}. candidate ${named(set, candidate)}`, step.p, position, chosen,
        facts);
    });
    if (step.p !== null || step.clicked !== null) {
      const none = step.clicked !== null && !step.clicked.length;
      const item = choice("No click", step.p, step.slate.length, none);
      item.classList.add("none");
      items.push(item);
    }
    byId("slate").replaceChildren(...items);
    byId("chances").textContent = step.p === null
      ? "The probabilities of the user's choice are not known here." : "";
  }

  function named(set, candidate) {
    if (set.names) return `${candidate} · ${set.names[candidate]}`;
    const id = set.ids[candidate];
    return id === String(candidate) ? String(candidate) : `${candidate} (ID ${id})`;
  }

  function fact(column, value) {
    return element("span", "", `${column.name}${more(column)}`,
      element("b", "", valueOf(value, column)));
  }

  function choice(name, chances, position, chosen, ...rest) {
    const head = element("div", "head", element("span", "name", name));
    if (chosen) head.append(element("span", "tag", "chosen"));
    const item = element("li", chosen ? "chosen" : "", head, ...rest);
    if (chances !== null) {
      head.append(element("span", "chance", percent(chances[position])));
      const full = element("div", "");
      full.style.width = percent(chances[position]);
      item.append(element("div", "meter", full));
    }
    return item;
  }

  // The candidates: a table whose rows are made once.

  const table = { rows: [], sort: null };

  function columnsOfTable() {
    return [
      ...data.features.map((column, number) => ({
        ...column, value: (step, i) => data.sets[step.set].columns[number][i],
      })),
      ...data.agent.map((name, number) => ({
        name, kind: "number", ofAgent: true,
        value: (step, i) => step.agent?.candidates[number]?.[i] ?? null,
      })),
    ];
  }

  function buildCandidates() {
    table.columns = columnsOfTable();
    const head = byId("candidates-head");
    head.append(heading("slate", -2), heading("candidate", -1));
    table.columns.forEach((column, number) => {
      const cell = heading(`${column.name}${more(column)}`, number);
      if (column.ofAgent) cell.classList.add("of-agent");
      head.append(cell);
    });
  }

  function heading(name, number) {
    const button = element("button", "", name.replaceAll("-", "\u2011"));
    button.type = "button";
    const cell = element("th", "", button);
    cell.scope = "col";
    button.addEventListener("click", () => {
      const same = table.sort?.number === number;
      if (same && table.sort.down) table.sort.down = false;
      else table.sort = same ? null : { number, down: number !== -1, cell };
      for (const other of cell.parentElement.children) other.removeAttribute("aria-sort");
      if (table.sort) {
        cell.setAttribute("aria-sort", table.sort.down ? "descending" : "ascending");
      }
      drawCandidates(current);
    });
    return cell;
  }

  function sorted(step, number) {
    const order = [...Array(number).keys()];
    if (!table.sort) return order;
    const { number: by, down } = table.sort;
    const key = (i) => {
      if (by === -1) return i;
      if (by === -2) return step.slate.includes(i) ? -step.slate.indexOf(i) : null;
      const value = table.columns[by].value(step, i);
      return Array.isArray(value) ? value.indexOf(Math.max(...value)) : value;
    };
    const keys = order.map(key);
    return order.sort((a, b) => {
      if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null);
      const less = keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : 0;
      return (down ? -less : less) || a - b;
    });
  }

  function drawCandidates(index) {
    const step = data.steps[index], set = data.sets[step.set], number = set.ids.length;
    const body = byId("candidates-body");
    while (table.rows.length < number) table.rows.push(newRow());
    body.replaceChildren(...table.rows.slice(0, number).map((row) => row.element));
    byId("number").textContent = `(${number})`;
    const ranges = table.columns.map((column) => column.ofAgent ? rangeOf(column, step, number) : 0);
    sorted(step, number).forEach((candidate, place) => {
      const row = table.rows[place], position = step.slate.indexOf(candidate);
      const chosen = step.clicked !== null && step.clicked.some((p) => step.slate[p] === candidate);
      row.element.className = `${position >= 0 ? "shown" : ""} ${chosen ? "chosen" : ""}`;
      row.place.textContent = position >= 0 ? position + 1 : "";
      row.place.className = position >= 0 ? "place" : "";
      row.name.textContent = named(set, candidate);
      table.columns.forEach((column, i) => {
        const value = column.value(step, candidate), cell = row.cells[i];
        cell.replaceChildren(valueOf(value, column));
        if (column.ofAgent) {
          const [low, high] = ranges[i];
          const share = value === null || high === low ? 0 : (value - low) / (high - low);
          cell.style.backgroundSize = `${(100 * share).toFixed(1)}% 100%`;
        }
      });
    });
  }

  function newRow() {
    const place = element("span", "");
    const name = element("th", "");
    name.scope = "row";
    const cells = table.columns.map((column) =>
      element("td", column.ofAgent ? "bar" : column.kind === "text" ? "text" : ""));
    return { element: element("tr", "", element("td", "", place), name, ...cells), place, name, cells };
  }

  function rangeOf(column, step, number) {
    let low = 0, high = 0;
    for (let i = 0; i < number; i++) {
      const value = column.value(step, i);
      if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    }
    return [low, high];
  }

  // What the agent went by.

  function drawAgent(index) {
    const agent = data.steps[index].agent;
    const parts = [];
    if (agent === null) {
      parts.push(element("p", "dim",
        "This agent does not say what it goes by: it has no method explain."));
    } else {
      parts.push(element("p", "", agent.title));
      for (const each of agent.tables) parts.push(tableOf(each));
      if (agent.candidates.some((column) => column !== null)) {
        parts.push(element("p", "dim", "What it says of candidates is in their table, in colour."));
      }
      if (agent.numbers.length) {
        parts.push(list(agent.numbers.map(([name, value]) => [name, shown(value)])));
      }
    }
    byId("agent").replaceChildren(...parts);
  }

  function tableOf({ of, rows, columns }) {
    const head = element("tr", "", ...[of, ...columns.map(([name]) => name)].map((name) => {
      const cell = element("th", "", element("b", "", name));
      cell.scope = "col";
      return cell;
    }));
    const best = columns.map(([, values]) => Math.max(...values.filter((v) => v !== null)));
    const body = rows.map((row, i) => element("tr", "", element("th", "", row),
      ...columns.map(([, values], column) => {
        const cell = element("td", "bar", shown(values[i]));
        const share = best[column] > 0 ? Math.max(0, values[i]) / best[column] : 0;
        cell.style.backgroundSize = `${(100 * share).toFixed(1)}% 100%`;
        return cell;
      })));
    const whole = element("table", "", element("thead", "", head), element("tbody", "", ...body));
    return scrolling(whole, `What the agent says of each ${of}`);
  }

  function scrolling(content, label) {
    const box = element("div", "scroll", content);
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", label);
    return box;
  }

  function list(pairs) {
    return element("dl", "", ...pairs.flatMap(([name, value]) =>
      [element("dt", "", name), element("dd", "", value)]));
  }

  // Values over the episode: a chart of each that changes.

  const MOST_POINTS = 1000;

  function lineChart(values, label) {
    const known = values.filter((value) => value !== null);
    const low = known.length ? known.reduce((a, b) => Math.min(a, b)) : 0;
    const high = known.length ? known.reduce((a, b) => Math.max(a, b)) : 0;
    const last = Math.max(1, values.length - 1), stride = Math.ceil(values.length / MOST_POINTS);
    const x = (i) => 1 + 98 * i / last;
    const y = (value) => 56 - 52 * (high > low ? (value - low) / (high - low) : 0.5);
    const points = [];
    values.forEach((value, i) => {
      const kept = i % stride === 0 || i === values.length - 1;
      if (value !== null && kept) points.push(`${x(i).toFixed(2)},${y(value).toFixed(2)}`);
    });
    const cursor = drawing("line", { y1: 0, y2: 60 });
    const svg = drawing("svg", { class: "chart", viewBox: "0 0 100 60", role: "img",
      preserveAspectRatio: "none", "aria-label": label },
      drawing("polyline", { points: points.join(" ") }), cursor);
    const range = element("div", "range", element("span", "", `${shown(low)} to ${shown(high)}`),
      element("span", "", "over the episode"));
    return { element: element("div", "", svg, range), move: (i) => {
      cursor.setAttribute("x1", x(i).toFixed(2));
      cursor.setAttribute("x2", x(i).toFixed(2));
    } };
  }

  function barChart(column, label) {
    const ghost = drawing("path", { class: "ghost" }), value = drawing("path", { class: "value" });
    const changed = drawing("path", { class: "new" });
    const svg = drawing("svg", { class: "chart", viewBox: "0 0 100 60", role: "img",
      preserveAspectRatio: "none", "aria-label": label }, ghost, value, changed);
    return { element: svg, move: (before, after) => {
      const parts = bars(after, column, 60), old = bars(before, column, 60);
      const differs = after.map((entry, i) => entry !== before[i]);
      value.setAttribute("d", parts.filter((_, i) => !differs[i]).join(""));
      changed.setAttribute("d", parts.filter((_, i) => differs[i]).join(""));
      ghost.setAttribute("d", old.filter((_, i) => differs[i]).join(""));
    } };
  }

  function changesOf(before, after) {
    const changed = after.map((_, i) => i).filter((i) => after[i] !== before[i]);
    if (!changed.length) return "unchanged";
    if (changed.length > 3) return `${changed.length} entries changed`;
    return changed.map((i) => `entry ${i}: ${change(before[i], after[i])}`).join(", ");
  }

  function buildState() {
    const box = byId("state"), moves = [];
    for (const column of data.state.filter((each) => each.changes)) {
      const text = element("span", "");
      const block = element("div", "series", element("div", "change",
        element("b", "", `${column.name}${more(column)}`), text));
      let chart = null;
      if (column.kind === "number") {
        chart = lineChart(column.values, `${column.name} over the episode`);
      } else if (column.kind === "vector") {
        chart = barChart(column, `${column.name} after the step`);
      }
      if (chart) block.append(chart.element);
      box.append(block);
      moves.push((index) => {
        const before = column.values[index], after = column.values[index + 1];
        if (column.kind === "vector") {
          text.textContent = changesOf(before ?? [], after ?? []);
          chart.move(before ?? [], after ?? []);
          return;
        }
        const same = before === after;
        text.textContent = same ? shown(after) : change(before, after);
        if (chart) chart.move(index + 1);
      });
    }
    const constant = data.state.filter((each) => !each.changes);
    if (constant.length) {
      const details = constants("What does not change", constant);
      details.open = constant.length === data.state.length;
      box.append(details);
    }
    if (!data.state.length) {
      box.append(element("p", "dim", "The user model tells nothing of a state."));
    }
    return (index) => moves.forEach((move) => move(index));
  }

  function constants(title, columns) {
    return element("details", "", element("summary", "", title), list(columns.map((column) =>
      [`${column.name}${more(column)}`, valueOf(column.values[0], column)])));
  }

  function drawUser(index) {
    const pairs = data.user.map((column) => [`${column.name}${more(column)}`,
      valueOf(column.values[column.changes ? index : 0], column)]);
    byId("user").replaceChildren(pairs.length ? list(pairs)
      : element("p", "dim", "The agent sees nothing of the user but the responses."));
  }

  function buildReward() {
    let sum = 0;
    const returns = [0, ...data.steps.map((step) => (sum += step.reward))];
    const chart = lineChart(returns, "The return so far over the episode");
    byId("reward").append(chart.element);
    return (index) => {
      byId("numbers").textContent = `Reward ${shown(data.steps[index].reward)}, return so far ` +
        `${shown(+returns[index + 1].toPrecision(6))}`;
      chart.move(index + 1);
    };
  }

  // Moving through the steps.

  let current = 0, timer = null;
  const slider = byId("slider"), play = byId("play");
  buildCandidates();
  const drawState = buildState(), drawReward = buildReward();

  function sentence(index) {
    const step = data.steps[index];
    const list = step.slate.length ? `candidates ${step.slate.join(" and ")}` : "nothing";
    let chosen = "";
    if (step.clicked !== null) {
      const names = step.clicked.map((position) => step.slate[position]);
      chosen = names.length ? ` Chosen: ${names.join(" and ")}.` : " No click.";
    }
    return `Step ${index + 1} of ${numSteps}. Shown: ${list}.` +
      `${chosen} Reward ${shown(step.reward)}.`;
  }

  function go(index) {
    current = Math.max(0, Math.min(numSteps - 1, index));
    byId("where").textContent = `Step ${current + 1} of ${numSteps}`;
    slider.value = current + 1;
    slider.setAttribute("aria-valuetext", `Step ${current + 1} of ${numSteps}`);
    for (const id of ["first", "back"]) byId(id).disabled = current === 0;
    for (const id of ["next", "last"]) byId(id).disabled = current === numSteps - 1;
    drawSlate(current);
    drawCandidates(current);
    drawAgent(current);
    drawState(current);
    drawUser(current);
    drawReward(current);
    if (timer === null) byId("say").textContent = sentence(current);
  }

  function stop() {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    play.textContent = "Play";
    byId("say").textContent = sentence(current);
  }

  function tick() {
    if (current === numSteps - 1) { stop(); return; }
    go(current + 1);
    timer = setTimeout(tick, 1000 / byId("speed").value);
  }

  function toggle() {
    if (timer !== null) { stop(); return; }
    if (current === numSteps - 1) go(0);
    play.textContent = "Pause";
    timer = setTimeout(tick, 1000 / byId("speed").value);
  }

  function faster(by) {
    const speed = byId("speed");
    speed.selectedIndex = Math.max(0, Math.min(speed.length - 1, speed.selectedIndex + by));
  }

  const moves = {
    ArrowRight: () => go(current + 1),
    ArrowLeft: () => go(current - 1),
    Home: () => go(0),
    End: () => go(numSteps - 1),
  };
  for (const [id, key] of [["first", "Home"], ["back", "ArrowLeft"], ["next", "ArrowRight"],
    ["last", "End"]]) byId(id).addEventListener("click", () => { stop(); moves[key](); });
  play.addEventListener("click", toggle);
  slider.max = numSteps;
  slider.addEventListener("input", () => { stop(); go(slider.value - 1); });

  const scrollsSideways = (node) => {
    const box = node instanceof Element ? node.closest(".scroll") : null;
    return box !== null && box.scrollWidth > box.clientWidth;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === byId("speed")) return;
    const pressed = event.target instanceof Element && event.target.closest("button, summary");
    if (event.key in moves) {
      if (event.key.startsWith("Arrow") && event.target.matches?.(".scroll") &&
        scrollsSideways(event.target)) return;
      stop();
      moves[event.key]();
    } else if (event.key === " " && !pressed) {
      toggle();
    } else if (event.key === "+" || event.key === "-") {
      faster(event.key === "+" ? 1 : -1);
    } else {
      return;
    }
    event.preventDefault();
  });

  let touch = null;
  document.addEventListener("touchstart", (event) => {
    const at = event.touches[0];
    const other = scrollsSideways(event.target) || event.target.closest?.("nav");
    touch = event.touches.length === 1 && !other ? { x: at.clientX, y: at.clientY } : null;
  }, { passive: true });
  document.addEventListener("touchend", (event) => {
    if (touch === null) return;
    const at = event.changedTouches[0];
    const x = at.clientX - touch.x, y = at.clientY - touch.y;
    touch = null;
    if (Math.abs(x) < 60 || Math.abs(x) < 2 * Math.abs(y)) return;
    stop();
    go(current + (x < 0 ? 1 : -1));
  }, { passive: true });

  go(0);
})();

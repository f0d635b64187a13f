"use strict";
// Charts as SVG, drawn from the numbers in the page at the width there is. Colours stay CSS variables.
(() => {
  const add = (parent, name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    (text ?? "").split("\n").forEach((line, index, lines) => {
      if (lines.length === 1) node.textContent = line;
      else add(node, "tspan", { x: attributes.x, dy: index ? "1.2em" : `${-0.6 * (lines.length - 1)}em` }, line);
    });
    parent.append(node);
    return node;
  };

  const shown = (value, axis) => {
    const [size, letter] = axis.si
      ? [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([size]) => Math.abs(value) >= size) ?? [1, ""]
      : [1, ""];
    return Number((value / size).toPrecision(axis.si ? 3 : 5)) + letter;
  };

  const ticks = (axis, from, to, room) => {
    if (axis.log) {
      const between = digits => {
        const marks = [];
        for (let power = Math.floor(from); power <= to; power++)
          marks.push(...digits.map(digit => digit * 10 ** power));
        return marks.filter(mark => Math.log10(mark) >= from && Math.log10(mark) <= to);
      };
      const few = between([1, 2, 5]), inside = few.length > 2 ? few : between([1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]);
      return inside.length > room ? inside.filter(mark => Number.isInteger(Math.log10(mark))) : inside;
    }
    const rough = (to - from) / room, size = 10 ** Math.floor(Math.log10(rough));
    const step = size * [1, 2, 5, 10].find(factor => factor * size >= rough);
    const first = Math.ceil(from / step);
    return Array.from({ length: 40 }, (_, index) => Number(((first + index) * step).toPrecision(12)))
      .filter(mark => mark <= to);
  };

  // An axis from pixel a to pixel b that has room for all these values.
  const scale = (axis, values, a, b, room) => {
    const known = values.filter(value => value !== null && value !== undefined);
    let low = known.reduce((x, y) => Math.min(x, y), axis.zero && known.length ? 0 : Infinity);
    let high = known.reduce((x, y) => Math.max(x, y), -Infinity);
    if (!known.length) [low, high] = [1, 10];
    if (low === high) [low, high] = [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
    const of = axis.log ? Math.log10 : Number, edge = (of(high) - of(low)) * 0.04;
    const from = of(low) - (axis.zero && low === 0 ? 0 : edge), to = of(high) + edge;
    const at = value => a + (b - a) * (of(value) - from) / (to - from);
    return { at, axis, marks: ticks(axis, from, to, room) };
  };

  // Points as one path, broken where a value is missing; a step keeps its height up to the next.
  const path = (points, step) => {
    let text = "", height = null;
    for (const [x, y] of points) {
      if (y !== null) text += height === null ? `M${x} ${y}` : step ? `H${x}V${y}` : `L${x} ${y}`;
      height = y;
    }
    return text;
  };

  const drawLine = (svg, trace, x, y, spots) => {
    const points = heights => heights.map((value, i) => [x.at(trace.x[i]), value === null ? null : y.at(value)]);
    if (trace.low) {
      const [low, high] = [trace.low, trace.high].map(points).map(side => side.filter(point => point[1] !== null));
      const back = low.reverse().map(([x, y]) => trace.step ? `V${y}H${x}` : `L${x} ${y}`);
      add(svg, "path", { d: path(high, trace.step) + back.join("") + "Z", fill: trace.color, opacity: 0.16 });
    }
    const line = points(trace.y);
    add(svg, "path", { d: path(line, trace.step), ...stroke(trace), fill: "none" });
    if (!trace.silent) line.forEach(([x, y], i) => y !== null && spots.push({ left: x, right: x, y, trace, i }));
  };

  const drawPoints = (svg, trace, x, y, spots) => trace.x.forEach((value, i) => {
    const [left, top] = [x.at(value), y.at(trace.y[i])], group = add(svg, "g", { opacity: trace.pale ? 0.45 : 1 });
    if (trace.low)
      add(group, "path", { d: `M${left} ${y.at(trace.low[i])}V${y.at(trace.high[i])}`, stroke: trace.color, "stroke-width": 2 });
    add(group, "path", { d: trace.symbol, transform: `translate(${left} ${top})`, ...marker(trace) });
    spots.push({ left, right: left, y: top, trace, i });
  });

  const drawBars = (svg, trace, x, y, spots) => trace.x.forEach((value, i) => {
    const [left, right] = [x.at(trace.base[i]), x.at(trace.base[i] + value)], middle = y.at(trace.y[i]);
    add(svg, "rect", { x: left, width: right - left, y: middle - 14, height: 28, fill: trace.color, stroke: "var(--panel)" });
    if (trace.texts[i] && 7 * trace.texts[i].length < right - left)
      add(svg, "text", { x: (left + right) / 2, y: middle + 4, class: "inside" }, trace.texts[i]);
    spots.push({ left, right, y: middle, trace, i });
  });

  const stroke = trace => ({ stroke: trace.color, "stroke-width": trace.width ?? 2, "stroke-dasharray": trace.dash ?? "" });
  const marker = trace => trace.open ? { fill: "none", stroke: trace.color, "stroke-width": 1.5 } : { fill: trace.color };
  const kinds = { line: drawLine, points: drawPoints, bars: drawBars };

  const draw = (chart, spec, hidden, tip) => {
    const width = chart.clientWidth, { height, names } = spec;
    const traces = spec.data.filter(trace => !hidden.has(trace.name));
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const rows = names?.flatMap(name => name.split("\n")).map(line => line.length) ?? [6];
    const left = Math.min(width / 2, 12 + 7 * Math.max(...rows)), gap = 30;
    const tall = (height - 46) / spec.panels.length;
    const x = scale(spec.x, traces.flatMap(t => t.base ? t.x.map((v, i) => t.base[i] + v) : t.x), left, width - 14, Math.max(2, (width - left) / 70));
    const spots = [];
    const grid = (x1, y1, x2, y2) => add(svg, "path", { d: `M${x1} ${y1}L${x2} ${y2}`, stroke: "var(--line)" });
    spec.panels.forEach((panel, index) => {
      const [top, bottom] = [index * tall + gap, (index + 1) * tall], here = traces.filter(t => (t.panel ?? 0) === index);
      const room = (bottom - top) / names?.length;
      const y = names
        ? { at: name => top + (names.indexOf(name) + 0.5) * room, marks: names }
        : scale(panel, here.flatMap(t => [...t.y, ...t.low ?? [], ...t.high ?? []]), bottom, top, Math.max(2, (bottom - top) / 50));
      add(svg, "text", { x: 4, y: top - 14, class: "title" }, panel.title);
      for (const mark of y.marks) {
        if (!names) grid(left, y.at(mark), width - 14, y.at(mark));
        add(svg, "text", { x: left - 8, y: y.at(mark) + 4, class: "ytick" }, names ? mark : shown(mark, panel));
      }
      for (const mark of x.marks) grid(x.at(mark), top, x.at(mark), bottom);
      for (const trace of here) kinds[trace.kind](svg, trace, x, y, spots);
    });
    for (const mark of x.marks)
      add(svg, "text", { x: x.at(mark), y: height - 28, class: "xtick" }, shown(mark, spec.x));
    add(svg, "text", { x: width - 14, y: height - 6, class: "xtitle" }, spec.x.title);
    svg.addEventListener("pointermove", event => readOut(event, svg, spots, spec, tip));
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    chart.replaceChildren(svg, tip);
  };

  const readOut = (event, svg, spots, spec, tip) => {
    const box = svg.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    const far = spot => Math.hypot(Math.max(spot.left - px, 0, px - spot.right), spot.y - py);
    const spot = spots.reduce((best, spot) => !best || far(spot) < far(best) ? spot : best, null);
    tip.hidden = !spot || far(spot) > 60;
    if (tip.hidden) return;
    const { trace, i } = spot, panel = spec.panels[trace.panel ?? 0];
    const lines = [trace.name, typeof trace.notes === 'string' ? trace.notes : trace.notes?.[i], `${spec.x.title}: ${shown(trace.x[i], spec.x)}`];
    if (!spec.names) lines.push(`${panel.title}: ${shown(trace.y[i], panel)}`);
    if (trace.low) lines.push(`${shown(trace.low[i], panel)} to ${shown(trace.high[i], panel)}`);
    tip.textContent = lines.filter(Boolean).join("\n");
    const at = Math.min(Math.max(px, spot.left), spot.right);
    tip.style.left = `${Math.max(0, Math.min(at + 12, box.width - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, spot.y - tip.offsetHeight - 8)}px`;
  };

  const legend = (spec, hidden, redraw) => {
    const box = document.createElement("div");
    box.className = "legend";
    for (const trace of spec.data.filter(trace => trace.legend !== false)) {
      const button = document.createElement("button");
      button.type = "button";
      button.ariaPressed = "true";
      const sample = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      sample.setAttribute("viewBox", "-13 -8 26 16");
      if (trace.kind === "line") add(sample, "path", { d: "M-12 0H12", ...stroke(trace) });
      else add(sample, "path", { d: trace.symbol ?? "M-6-6H6V6H-6Z", ...marker(trace) });
      button.append(sample, trace.name);
      button.addEventListener("click", () => {
        const off = !hidden.delete(trace.name);
        if (off) hidden.add(trace.name);
        button.ariaPressed = String(!off);
        redraw();
      });
      box.append(button);
    }
    return box;
  };

  for (const chart of document.querySelectorAll(".chart")) {
    const spec = JSON.parse(document.getElementById(chart.id + "-data").textContent);
    chart.style.height = `${spec.height}px`;
    const hidden = new Set(), tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    const redraw = () => draw(chart, spec, hidden, tip);
    chart.after(legend(spec, hidden, redraw));
    let width = 0;
    new ResizeObserver(() => { if (chart.clientWidth !== width) { width = chart.clientWidth; redraw(); } }).observe(chart);
  }
})();

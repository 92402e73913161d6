// The embedding of the operands, projected onto the plane of each key frequency.

// Maximum number of frequencies that are shown.
const MAX_CIRCLES = 6;

addView({
  id: "embedding",
  title: "Operands on circles",
  about: "The embedding projected onto the plane of its cos k and sin k components. As the circuit forms, the operands move onto a circle, operand x to the angle 2πkx/p.",
  requires: ["W_E", "W_E_fourier_norm"],
  reads: ["epoch"],
  width: 6,
  shape: "tall",
  draw(current) {
    const { experiment, basisSize: p } = current;
    const stored = nearestStored(current, "W_E");
    const [width] = experiment.arrays[stored.name].shape.slice(-1);
    const shownFrequencies = (current.keys.length ? current.keys : largestFrequencies(current)).slice(0, MAX_CIRCLES);
    const columns = Math.min(shownFrequencies.length, shownFrequencies.length > 4 ? 3 : 2);
    const rows = Math.ceil(shownFrequencies.length / columns);
    const circles = cached(`circles ${experiment.name} ${[stored.name, stored.indices, shownFrequencies]}`, () =>
      shownFrequencies.map((k) => onPlane(ofTokens(current, experiment.row(stored.name, ...stored.indices), width), width, p, k)));
    // All axes keep the limit of the epoch drawn first, as long as `cached` stores it, so that growth is visible. At an epoch with a larger
    // circle, they extend to this circle.
    const firstLimit = cached(`limit ${experiment.name} ${current.run} ${shownFrequencies}`, () => 1.15 * Math.max(...circles.flatMap(({ x, y }) => [...x, ...y].map(Math.abs)), 1e-9));
    const limit = Math.max(firstLimit, 1.05 * Math.max(...circles.flatMap(({ x, y }) => [...x, ...y].map(Math.abs))));
    const parts = { annotations: [], margin: { l: 4, r: 4, t: 4, b: 4 } };
    const traces = circles.map(({ x, y }, index) => {
      const k = shownFrequencies[index];
      const suffix = index ? index + 1 : "";
      const [column, row] = [index % columns, Math.floor(index / columns)];
      const blank = { showgrid: false, zeroline: true, zerolinecolor: style("--grid"), showticklabels: false, ticks: "", range: [-limit, limit] };
      parts[`xaxis${suffix}`] = { ...blank, domain: [(column + 0.02) / columns, (column + 0.98) / columns], anchor: `y${suffix}`, constrain: "domain" };
      parts[`yaxis${suffix}`] = { ...blank, domain: [1 - (row + 0.98) / rows, 1 - (row + 0.1) / rows], anchor: `x${suffix}`, scaleanchor: `x${suffix}`, constrain: "domain" };
      parts.annotations.push({ xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0.5, y: 1, yanchor: "bottom", showarrow: false, text: `<b>k = ${k}</b>`, font: { color: current.keys.length ? current.color(k) : style("--ink"), size: 13 } });
      return {
        x, y, meta: k, xaxis: `x${suffix}`, yaxis: `y${suffix}`, mode: "markers",
        marker: { size: 5, color: x.map((_, operand) => ((k * operand) % p) / p), colorscale: cyclicScale(), cmin: 0, cmax: 1, line: { width: 0 }, opacity: highlighted === null || highlighted === k ? 1 : 0.15 },
        text: x.map((_, operand) => String(operand)), hovertemplate: "operand %{text}<extra></extra>",
      };
    });
    const note = [stored.note, current.keys.length ? "" : "This run has no key frequencies. Shown are the frequencies with the largest norms in W_E at the chosen epoch.", "Color: the angle 2πkx/p."];
    return { traces, layout: parts, lastOnly: stored.lastOnly, note: note.filter(Boolean).join(" ") };
  },
});

// The four frequencies with the largest norms in W_E at the chosen epoch.
function largestFrequencies(current) {
  const norms = ofComponents(current, current.experiment.row("W_E_fourier_norm", current.run, current.epoch));
  const norm = (k) => Math.hypot(norms[2 * k - 1], norms[2 * k]);
  const all = Array.from({ length: (norms.length - 1) / 2 }, (_, i) => i + 1);
  return all.sort((k, other) => norm(other) - norm(k)).slice(0, 4).sort((k, other) => k - other);
}

// A cyclic color scale of constant lightness: blue, violet, orange, green, blue.
function cyclicScale() {
  const colors = isDark() ? ["#6aa5ff", "#d68bd9", "#f0965a", "#8fbf4d", "#6aa5ff"] : ["#2f6fd0", "#a94fb0", "#c9621f", "#5b8c1e", "#2f6fd0"];
  return colors.map((color, index) => [index / 4, color]);
}

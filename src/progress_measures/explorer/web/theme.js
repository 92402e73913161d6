// Colors and fonts. Colors have the same meanings as in the figures (figures/plots/style.py); in dark mode they are lighter.

// Media queries, whose property `matches` says whether they apply now.
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const narrowScreen = matchMedia("(max-width: 680px)");
const touchScreen = matchMedia("(pointer: coarse)");

// Make an HTML element.
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const colorProbe = document.body.appendChild(element("span", { hidden: "" })); // an invisible element, whose color the browser computes
const resolvedStyles = new Map(); // what `style` has returned in the current color scheme, by name

// The value of a property of the style sheet, such as `--ink`. Colors are `rgb(…)`, in the current color scheme.
function style(name) {
  if (!resolvedStyles.has(name)) {
    colorProbe.style.color = "";
    colorProbe.style.color = `var(${name})`;
    const { color } = getComputedStyle(colorProbe);
    resolvedStyles.set(name, name === "--font" ? getComputedStyle(document.documentElement).getPropertyValue(name).trim() : color);
  }
  return resolvedStyles.get(name);
}

const isDark = () => style("--is-dark") === "rgb(1, 1, 1)";

// Forget the colors after a change of the color scheme, and draw every card again.
function themeChanged() {
  resolvedStyles.clear();
  notify(["theme"]);
}

// Adjust a color of the figures to the current color scheme: in dark mode, grays are inverted and other colors are lighter. A color
// whose red, green and blue differ by less than 12 of 255 is a gray.
function shade(hex) {
  if (!isDark()) return hex;
  const parts = [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  const gray = Math.max(...parts) - Math.min(...parts) < 12;
  const lighter = parts.map((part) => Math.round(gray ? 0.85 * (255 - part) + 30 : part + 0.32 * (255 - part)));
  return `rgb(${lighter.join(",")})`;
}

const colorOf = (meaning) => shade(HEADER.colors[meaning]);

// Return a function that maps a frequency k to its color: each key frequency has a color, all other frequencies are gray. While a
// frequency is highlighted, all others are pale. A highlighted frequency that is not a key frequency has the color of text.
function frequencyColors(keys) {
  return (k) => {
    const index = keys.indexOf(k);
    if (highlighted !== null && k !== highlighted) return style("--pale");
    if (index < 0) return k === highlighted ? style("--ink") : colorOf("other");
    return shade(HEADER.frequency_colors[index % HEADER.frequency_colors.length]);
  };
}

// A sequential color scale that starts at the color of the card.
function sequential() {
  return [[0, style("--card")], [0.35, style("--map-middle")], [1, style("--map-high")]];
}

// A sequential color scale that is pale enough for text on top of it.
const pale = () => [[0, style("--card")], [1, style("--map-pale")]];

// An axis of a Plotly layout, with further properties `more`.
function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 6, font: { size: 12 } },
    gridcolor: style("--grid"), linecolor: style("--line"), tickcolor: style("--line"),
    zeroline: false, automargin: true, ticks: "outside", ticklen: 3, nticks: 6, exponentformat: "e", ...more,
  };
}

function epochAxis(more = {}) {
  return axis("Epoch", { tickformat: ",d", range: [epochs[0], epochs.at(-1)], ...more });
}

const lossAxis = (title) => axis(title, { type: "log", showexponent: "all", dtick: 2 });

// A logarithmic axis over at most a few powers of ten, with ticks at 1, 2, 3, 5 and 7 times powers of ten. Its title says that it is
// logarithmic.
function narrowLog(title, more = {}) {
  const ticks = Array.from({ length: 60 }, (_, index) => [1, 2, 3, 5, 7][index % 5] * 10 ** (Math.floor(index / 5) - 4));
  return axis(`${title}, log scale`, { type: "log", tickvals: ticks, ticktext: ticks.map(formatNumber), ...more });
}

// The color map magma of matplotlib, which Plotly does not have.
const MAGMA = ["#000004", "#180f3d", "#440f76", "#721f81", "#9e2f7f", "#cd4071", "#f1605d", "#fd9668", "#feca8d", "#fcfdbf"].map((color, index) => [index / 9, color]);

// Axes of a map over all pairs or components, with square pixels and the first row at the top.
const rowAxis = (title, more = {}) => axis(title, { autorange: "reversed", scaleanchor: "x", constrain: "domain", showgrid: false, ...more });
const columnAxis = (title, more = {}) => axis(title, { constrain: "domain", showgrid: false, ...more });

function colorBar(title) {
  return { title: { text: title, side: "right", font: { size: 11 } }, thickness: 10, len: 0.9, outlinewidth: 0, tickfont: { size: 11 }, nticks: 5 };
}

// A Plotly layout with the page's fonts and colors, and with `parts`, which replace properties of the same names.
function layout(parts) {
  return {
    font: { family: style("--font"), size: 12, color: style("--ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 14, t: 10, b: 42 }, showlegend: false, hovermode: "closest",
    hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { family: style("--font"), color: style("--ink") } },
    dragmode: touchScreen.matches ? false : "zoom", ...parts,
  };
}

const PLOTLY = { displayModeBar: false, responsive: true, displaylogo: false, showTips: false };

// Format a number with three significant digits: from 1000 on as an integer, and with an exponent below 0.001 or from a million on. A
// dash stands for null and NaN.
function formatNumber(value) {
  if (value === null || Number.isNaN(value)) return "–";
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e6)) return value.toExponential(2);
  if (magnitude === 0) return "0";
  return magnitude < 999.5 ? value.toPrecision(3) : Math.round(value).toLocaleString("en");
}

const formatEpoch = (epoch) => epoch.toLocaleString("en");
const formatPercent = (fraction) => (Number.isNaN(fraction) ? "–" : `${(100 * fraction).toFixed(1)} %`);

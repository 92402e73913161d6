// A view's data as CSV, and its picture as PNG.

function saveButtons(card) {
  const button = (text, name, save) => {
    const node = element("button", { type: "button", class: "save", title: `Save ${name} of this view`, "aria-label": `Save ${name} of ${card.view.title}` }, text);
    node.addEventListener("click", () => card.panes.forEach((pane) => pane.traces.length && save(pane)));
    return node;
  };
  return [button("CSV", "the data", saveData), button("PNG", "a picture", savePicture)];
}

function fileName({ view, current }, suffix) {
  return `${[chosenExperiment.name, current.name, view.id, `epoch${current.state.epoch}`].join("_").replace(/[^\w.-]+/g, "-")}.${suffix}`;
}

function saveData(pane) {
  const text = tableOf(pane).map((row) => row.map(quoted).join(",")).join("\n");
  const address = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
  download(address, fileName(pane, "csv"));
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function savePicture(pane) {
  const { clientWidth: width, clientHeight: height } = pane.plot;
  const data = pane.traces;
  const image = await Plotly.toImage({ data, layout: { ...pane.axes, paper_bgcolor: style("--card") } }, { format: "png", width, height, scale: 3 });
  download(image, fileName(pane, "png"));
}

function download(address, name) {
  element("a", { href: address, download: name }).click();
}

const quoted = (cell) => (/[",\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell));

// The rows of a table with the values that a pane draws: one row per point, or per cell of a map. The first row names the columns.
function tableOf({ view, current, traces, axes }) {
  const firstCells = [current.experiment.name, current.name, current.state.epoch];
  const titleOf = (name) => axes[name]?.title?.text;
  const data = traces.filter(({ hoverinfo }) => hoverinfo !== "skip"); // without the marks of the current choice
  const header = ["experiment", "run", "chosen epoch", "series", titleOf("xaxis") ?? "x", titleOf("yaxis") ?? "y"];
  if (data[0].type !== "heatmap") return [header, ...data.flatMap(({ x, y, name = view.title, meta }) => Array.from(x, (value, index) => [...firstCells, meta === undefined ? name : `k = ${meta}`, value, y[index]]))];
  const [{ x, y, z, customdata }] = data;
  // x, y and value of a cell; `customdata`, which replaces them, has y, x and value
  const cell = (row, column) => (customdata ? [customdata[row][column][1], customdata[row][column][0], customdata[row][column][2]] : [x ? x[column] : column, y ? y[row] : row, z[row][column]]);
  return [[...header, "value"], ...z.flatMap((values, row) => Array.from(values, (_, column) => [...firstCells, view.title, ...cell(row, column)]))];
}

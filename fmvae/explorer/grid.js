// The components of two factors against each other (Figure 8), or of one beside
// samples of it (Figure 4).

const GRID_SAMPLES = 6;

class Grid {
  constructor(model, engine, compose) {
    Object.assign(this, {model, engine, compose});
    this.root = document.getElementById("grid");
    this.selects = [".rows", ".columns", ".side-length"].map(
      of => this.root.querySelector(of));
    const [rows, columns] = this.selects;
    model.factors.forEach((factor, i) => {
      rows.append(option(i, factor.name));
      columns.append(option(i, factor.name));
    });
    columns.append(option("samples", "mean and samples"));
    columns.value = model.factors.length > 1 ? "1" : "samples";
    for (const select of this.selects) {
      select.addEventListener("change", () => this.show());
    }
    this.turn = 0;
  }

  show() {
    const turn = ++this.turn, {model, compose} = this;
    const current = () => turn === this.turn && !this.root.hidden;
    const [row, column, length] = this.selects.map(select => select.value);
    const of = i => inUse(model.factors[i]).slice(0, Number(length));
    const down = model.factors[row], jobs = [];
    const samples = column === "samples" || column === row;
    const across = samples
      ? ["mean", ...Array.from({length: GRID_SAMPLES}, (_, n) => n + 1)]
      : of(column);
    const head = make("tr", {}, make("td"), ...across.map(k => make("th",
      {scope: "col", textContent: samples
        ? String(k) : model.factors[column].names[k]})));
    const body = of(row).map(k => make("tr", {},
      make("th", {scope: "row", textContent: down.names[k]}),
      ...across.map(l => {
        const canvas = blank(model.image_shape);
        const m = rowOf(down, down.m, k);
        let z = compose.z(Number(row), m), text = called(down, k);
        if (!samples) {
          const right = model.factors[column];
          z.set(rowOf(right, right.m, l), right.first);
          text += `, ${called(right, l)}`;
        } else if (l !== "mean") {
          z = compose.z(Number(row), drawInside(down, k));
        }
        canvas.removeAttribute("aria-hidden");
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", text);
        jobs.push([z, canvas]);
        return make("td", {}, canvas);
      })));
    this.root.querySelector("table").replaceChildren(
      make("thead", {}, head), make("tbody", {}, ...body));
    this.root.querySelector(".hint").textContent = samples
      ? `${down.name}: the mean of each component, then draws from it.`
      : `${down.name} down, ${model.factors[column].name} across, at the ` +
        "means of the components.";
    if (model.factors.length > (samples ? 1 : 2)) {
      this.root.querySelector(".hint").textContent +=
        " All other factors are as composed.";
    }
    for (const [z, canvas] of jobs) {
      this.engine.decode(z, false, current).then(pixels => {
        if (current()) paint(canvas, pixels, model.image_shape);
      });
    }
  }
}

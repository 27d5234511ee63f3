// The view in which a person chooses components and looks at the picture.

const SAMPLES = 8;

class Compose {
  constructor(model, engine) {
    Object.assign(this, {model, engine});
    this.root = document.getElementById("compose");
    this.codes = model.factors.map(factor => largest(factor.share));
    this.offsets = model.factors.map(f => new Float32Array(f.size));
    this.locked = model.factors.map(() => false);
    this.draws = Array.from({length: SAMPLES}, () => []);
    this.turn = 0;
    this.panels = model.factors.map((_, i) => this.panel(i));
    this.root.querySelector(".factors").append(
      ...this.panels.map(panel => panel.root));
    this.canvases = this.draws.map(() => blank(model.image_shape));
    this.root.querySelector(".samples").append(...this.canvases);
    const act = (name, what) => this.root.querySelector(
      `[data-act=${name}]`).addEventListener("click", what);
    act("draw", () => this.drawAgain());
    act("samples", () => {
      model.factors.forEach((_, i) => this.redraw(i));
      this.show();
    });
    act("save", () => this.save());
    this.neighbours = new Neighbours(model, this.root.querySelector(".real"),
      () => this.asQuery(), n => this.takeNeighbour(n), "Compose like this");
    model.factors.forEach((_, i) => this.redraw(i));
  }

  // z of the choice, with other values for factor i if they are given.
  z(i = -1, values = null) {
    const z = new Float32Array(this.model.latent_dim);
    this.model.factors.forEach((factor, j) => {
      if (j === i) {
        z.set(values, factor.first);
      } else {
        const m = rowOf(factor, factor.m, this.codes[j]);
        z.set(m.map((v, d) => v + this.offsets[j][d]), factor.first);
      }
    });
    return z;
  }

  panel(i) {
    const factor = this.model.factors[i], used = inUse(factor);
    const pruned = factor.names.map((_, k) => k).filter(k => factor.pruned[k]);
    const tiles = new Map();
    const lock = make("button", {type: "button", textContent: "Lock",
      "aria-pressed": "false", "aria-label": `Lock ${factor.name}`});
    lock.addEventListener("click", () => {
      this.locked[i] = !this.locked[i];
      lock.setAttribute("aria-pressed", this.locked[i]);
      lock.textContent = this.locked[i] ? "Locked" : "Lock";
    });
    const draw = make("button", {type: "button", textContent: "Draw",
      "aria-label": `Draw ${factor.name}`});
    draw.addEventListener("click", () => {
      this.choose(i, drawComponent(factor));
      this.show();
    });
    const many = used.length > 5 ? "many" : "";
    const root = make("fieldset", {className: many},
      make("legend", {textContent: factor.name}),
      make("div", {className: "top"},
        make("span", {className: "small", textContent:
          `${used.length} of ${factor.names.length} components in use, ` +
          `${factor.size} dimensions`}), draw, lock),
      make("div", {className: "tiles"},
        ...used.map(k => this.tile(i, k, tiles))));
    if (pruned.length) {
      const folded = make("details", {}, make("summary",
        {textContent: `${pruned.length} pruned components`}));
      folded.addEventListener("toggle", () => {
        if (folded.open && folded.children.length === 1) {
          folded.append(make("div", {className: "tiles"},
            ...pruned.map(k => this.tile(i, k, tiles))));
        }
        this.show();
      });
      root.append(folded);
    }
    const inside = make("details", {},
      make("summary", {textContent: "Move inside this component"}));
    inside.addEventListener("toggle", () => this.measure(i));
    root.append(inside);
    return {root, tiles, inside};
  }

  tile(i, k, tiles) {
    const factor = this.model.factors[i];
    const input = make("input", {type: "radio", name: `factor-${i}`,
      value: String(k), checked: this.codes[i] === k});
    const twins = factor.coincide.filter(pair => pair.includes(k))
      .map(([one, other]) => one === k ? other : one);
    const canvas = blank(this.model.image_shape);
    const tile = make("label", {className: "tile"}, input, canvas,
      make("span", {textContent: factor.names[k]}),
      make("span", {className: "share", textContent: factor.pruned[k]
        ? "pruned" : percent(factor.share[k])}));
    if (twins.length) {
      const which = twins.slice(0, 3).map(l => factor.names[l]).join(", ");
      tile.append(make("span", {className: "twin",
        title: "These components coincide: they overlap by more than 90 %",
        textContent: `≈ ${which}`}));
    }
    input.addEventListener("change", () => {
      this.choose(i, k);
      this.show();
    });
    tiles.set(k, {input, canvas});
    return tile;
  }

  choose(i, k, offset = null) {
    this.codes[i] = k;
    this.offsets[i] = offset || new Float32Array(this.model.factors[i].size);
    const tile = this.panels[i].tiles.get(k);
    for (const {input} of this.panels[i].tiles.values()) input.checked = false;
    if (tile) tile.input.checked = true;
    this.redraw(i);
  }

  // Samples keep what they have of every other factor.
  redraw(i) {
    for (const draw of this.draws) {
      draw[i] = drawInside(this.model.factors[i], this.codes[i]);
    }
  }

  drawAgain() {
    this.model.factors.forEach((factor, i) => {
      if (!this.locked[i]) this.choose(i, drawComponent(factor));
    });
    this.show();
  }

  async show() {
    const turn = ++this.turn, {model} = this;
    const current = () => turn === this.turn;
    const picture = this.root.querySelector(".picture");
    const text = say(model, this.codes);
    this.root.querySelector(".said").textContent = text;
    picture.setAttribute("aria-label", `Picture of ${text}`);
    this.neighbours.show();
    const pixels = await this.engine.decode(this.z(), true, current);
    if (!current()) return;
    paint(picture, pixels, model.image_shape);
    this.root.dataset.shown = text;
    this.draws.forEach((draw, n) => {
      const z = new Float32Array(model.latent_dim);
      draw.forEach((part, i) => z.set(part, model.factors[i].first));
      this.later(z, this.canvases[n], current);
    });
    model.factors.forEach((factor, i) => {
      for (const [k, {canvas}] of this.panels[i].tiles) {
        if (factor.pruned[k] && !canvas.offsetParent) continue;
        this.later(this.z(i, rowOf(factor, factor.m, k)), canvas, current);
      }
      this.measure(i);
    });
  }

  async later(z, canvas, current) {
    const pixels = await this.engine.decode(z, false, current);
    if (current()) paint(canvas, pixels, this.model.image_shape);
  }

  // Sliders along the directions in which the picture changes most.
  async measure(i) {
    const {inside} = this.panels[i], k = this.codes[i];
    const key = [k, ...this.codes].join();
    if (!inside.open || inside.dataset.of === key) return;
    inside.dataset.of = key;
    const summary = inside.firstElementChild;
    inside.replaceChildren(summary, make("p",
      {className: "small", textContent: "Measuring …"}));
    const wanted = () => inside.open && inside.dataset.of === key;
    const m = rowOf(this.model.factors[i], this.model.factors[i].m, k);
    const found = await directions(
      this.model, this.engine, i, k, this.z(i, m), wanted);
    if (!wanted()) return;
    const values = found.map(() => 0);
    const rows = found.map(({share}, n) => {
      const input = make("input",
        {type: "range", min: -3, max: 3, step: 0.1, value: 0});
      const number = make("span", {textContent: "0.0"});
      input.addEventListener("input", () => {
        values[n] = Number(input.value);
        number.textContent = values[n].toFixed(1);
        this.offsets[i] = m.map((_, d) =>
          found.reduce((sum, {step}, of) => sum + values[of] * step[d], 0));
        this.show();
      });
      return make("label", {className: "slider"},
        make("span", {textContent: `direction ${n + 1}, ${percent(share)}`}),
        input, number);
    });
    inside.replaceChildren(summary, ...rows, make("p", {className: "small",
      textContent: "In scales of the component. The share is of how much the " +
        "picture changes in all directions of the component."}));
  }

  asQuery() {
    const about = this.model.factors.map((factor, i) => ({spread: 0,
      mean: rowOf(factor, factor.m, this.codes[i])}));
    return {codes: this.codes, about};
  }

  takeNeighbour(n) {
    const factors = this.model.factors.length;
    this.model.factors.forEach((_, i) =>
      this.choose(i, this.model.neighbours.codes[n * factors + i]));
    this.show();
  }

  save() {
    const link = make("a", {download: "picture.png",
      href: this.root.querySelector(".picture").toDataURL()});
    link.click();
  }
}

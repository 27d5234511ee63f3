// Puts the views together.

function describe(model, engine) {
  const [height, width, channels] = model.image_shape;
  const box = document.querySelector("#about .prose");
  const ms = ["decode", "encode"].map(name => engine.typical(name))
    .map(time => time === undefined ? "not measured" : `${time.toFixed(1)} ms`);
  const rows = [
    ["The model", `${model.name}, step ${model.step} of ${model.total}; ` +
      `pictures of ${height}x${width}x${channels}, ` +
      `${model.latent_dim} latent dimensions, ` +
      `${model.params.toLocaleString("en")} parameters.`],
    ["This file", "Everything is in it. It asks no server for anything, and " +
      "its content security policy forbids it to. A picture that you draw or " +
      "open stays in this page."],
    ["Rounding", "Parameters are kept as float16. Over 100 drawn pictures a " +
      `pixel differs from the model's own by ${model.error[0]} of 255 at most ` +
      `and ${model.error[1]} on average.`],
    ["Times here", `Decoding a picture ${ms[0]}, encoding ${ms[1]}, medians ` +
      "in this browser."],
    ["The picture", "z of each factor is the mean of its component, moved by " +
      "the sliders; shown is the mean of p(x|z). Samples draw z inside the " +
      "chosen components. A thumbnail is the picture that choosing it gives."],
    ["Components", "A share is that of the data. Those with less than one " +
      "data point are pruned. ≈ marks two that coincide: their Gaussians " +
      "overlap by more than 90 % (Bhattacharyya coefficient)."],
    ["Sliders", "The picture's change for a step along each dimension of the " +
      "factor, one scale of the component long, makes a matrix; its leading " +
      "singular vectors are the directions."],
    ["Your picture", (model.binary ? "It becomes black or white at " +
      `${model.threshold} first. ` : "") + "q(r|x) is the model's (eq. 5). An " +
      "exchanged factor takes the mean of its new component; the others keep " +
      "what the encoder says."],
  ];
  if (model.neighbours) {
    rows.push(["Real pictures", `${model.neighbours.count} of the run's test ` +
      "set. The number is the distance: the expected squared distance of the " +
      "component means under q(r|x), summed over the factors that are to be " +
      "the same. 'Another' leaves out those of the same component."]);
  }
  box.replaceChildren(make("h2", {textContent: "About this page"}),
    make("dl", {}, ...rows.flatMap(([name, text]) => [
      make("dt", {textContent: name}), make("dd", {textContent: text})])));
}

async function start() {
  const status = document.getElementById("status");
  if (!SUPPORTED) {
    status.textContent = "This page needs a browser of 2023 or later.";
    return;
  }
  const model = await unpack();
  document.querySelector("h1").textContent = model.name;
  document.querySelector(".summary").textContent = "Choose components, see " +
    `the picture. Trained for ${model.step.toLocaleString("en")} steps.`;
  const engine = new Engine(model.programs);
  window.engineIsIdle = () => !engine.running;
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const compose = new Compose(model, engine);
  const open = (name = "own", focus = false) => {
    for (const tab of tabs) {
      const on = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
      if (on && focus) tab.focus();
    }
    if (name === "compose") compose.show();
    if (name === "grid") grid.show();
    if (name === "about") describe(model, engine);
  };
  const grid = new Grid(model, engine, compose);
  const own = new Own(model, engine, compose, open);
  tabs.forEach((tab, n) => {
    tab.addEventListener("click", () => open(tab.id.slice(4)));
    tab.addEventListener("keydown", event => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      const next = tabs[(n + step + tabs.length) % tabs.length];
      open(next.id.slice(4), true);
    });
  });
  status.hidden = true;
  open("compose");
}

start().catch(error => {
  document.getElementById("status").textContent =
    `This page cannot start: ${error.message}`;
  throw error;
});

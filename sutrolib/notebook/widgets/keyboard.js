// JupyterLab takes the arrow keys for itself while a list or a slider has the focus, except from elements with the
// attribute data-lm-suppress-shortcuts, which ipywidgets cannot set. ipywidgets also gives a slider's handle no name and
// no text of its value for screen readers.
if (!window.sutroKeys) {
  window.sutroKeys = true;
  const fix = (event) => {
    const control = event.target;
    if (!control.closest(".sutro-panel")) return;
    control.setAttribute("data-lm-suppress-shortcuts", "true");
    const row = control.getAttribute("role") === "slider" && control.closest(".widget-inline-hbox");
    if (!row) return;
    control.setAttribute("aria-label", row.querySelector(".widget-label").textContent);
    control.setAttribute("aria-valuetext", row.querySelector(".widget-readout").textContent);
  };
  for (const type of ["focusin", "keyup", "pointerup"]) document.addEventListener(type, fix);
}

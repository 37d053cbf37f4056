"use strict";
(() => {
  const slides = [...document.querySelectorAll(".slide")];
  const where = document.getElementById("where");
  const help = document.getElementById("help");
  let here = 0;
  let moving = 0; // until then the page scrolls to where a key has sent it, past other slides

  function show(number) {
    here = number;
    where.textContent = `${here + 1} / ${slides.length}`;
  }

  function go(number) {
    show(Math.max(0, Math.min(slides.length - 1, number)));
    moving = performance.now() + 800;
    slides[here].focus({ preventScroll: true });
    slides[here].scrollIntoView({ block: "start" });
    try {
      history.replaceState(null, "", `#${slides[here].id}`); // a reload comes back here
    } catch {
      // not allowed where the page is a preview
    }
  }

  // A slide that is taller than the screen is read to its end before the next one comes.
  const below = () => slides[here].getBoundingClientRect().bottom - innerHeight > 2;
  const above = () => slides[here].getBoundingClientRect().top < -2;

  function toggleNotes() {
    const notes = [...document.querySelectorAll("details.notes")];
    const open = !notes.some((note) => note.open);
    for (const note of notes) note.open = open;
    slides[here].scrollIntoView({ block: "start" });
  }

  const keys = {
    ArrowRight: () => go(here + 1),
    ArrowLeft: () => go(here - 1),
    PageDown: () => go(here + 1),
    PageUp: () => go(here - 1),
    ArrowDown: () => (below() ? false : go(here + 1)),
    ArrowUp: () => (above() ? false : go(here - 1)),
    " ": () => (below() ? false : go(here + 1)),
    Home: () => go(0),
    End: () => go(slides.length - 1),
    s: toggleNotes,
    "?": () => help.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (help.open || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("button, summary, a") && [" ", "Enter"].includes(event.key)) return;
    if (event.target.closest(".scroll") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const table = event.target.closest(".scroll");
      if (table.scrollWidth > table.clientWidth + 1) return; // the arrows move the wide table
    }
    const action = keys[event.key];
    if (action && action() !== false) event.preventDefault();
  });

  const observer = new IntersectionObserver(
    (entries) => {
      const seen = entries.filter((entry) => entry.isIntersecting).map((entry) => slides.indexOf(entry.target));
      if (seen.length && performance.now() > moving) show(seen[0]);
    },
    { rootMargin: "-50% 0px -50% 0px" }, // the slide across the middle of the screen
  );
  for (const slide of slides) observer.observe(slide);

  document.getElementById("previous").addEventListener("click", () => go(here - 1));
  document.getElementById("next").addEventListener("click", () => go(here + 1));
  document.getElementById("ask").addEventListener("click", () => help.showModal());
  document.querySelector("nav").hidden = false;
  const asked = slides.findIndex((slide) => `#${slide.id}` === location.hash);
  if (asked > 0) go(asked);
  else show(0);
})();

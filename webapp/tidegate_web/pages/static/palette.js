// Keys, and a palette (Ctrl-K) that goes to pages, finds runs and tasks by their names, and does what the page's buttons do.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const palette = $("#palette"), help = $("#keys");
  if (!palette || !help) return;
  const input = $("input", palette), list = $("[role=listbox]", palette), project = palette.dataset.project;
  const MOST = 8;
  let options = [], chosen = 0, asked = 0, timer = null;
  let tasks = null; // all of the project, asked for once each time that the palette opens

  // What there is on the page: its links, and its buttons.
  const link = (kind, element) => ({ kind, text: element.textContent.trim(), go: () => element.click() });
  const pages = () => [
    ...$$(".tg-nav a").map((each) => link("Page", each)),
    ...$$(".tg-project .tg-popup a").map((each) => link("Project", each)),
    ...$$("#views .tg-popup a:not(.tg-popup-more)").map((each) => link("View", each)),
    ...$$(".tg-menu-end:not(#views, #columns) .tg-popup a").map((each) => link("Page", each)),
  ];
  const acts = () => $$("#head form button[type=submit]").map((each) => link("Act", each));
  const fits = (text, words) => words.every((word) => text.toLowerCase().includes(word));

  const get = async (path) => {
    // One that isn't answered leaves what the other finds.
    try {
      const answer = await fetch(path, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      return answer.ok ? (await answer.json()).items : [];
    } catch { return []; }
  };
  const found = async (text) => {
    if (!project || text.length < 2) return [];
    const root = `/api/v1/projects/${encodeURIComponent(project)}`, base = `/projects/${encodeURIComponent(project)}`;
    tasks ??= get(`${root}/tasks?limit=500`);
    const [runs, known] = await Promise.all([get(`${root}/runs?limit=${MOST}&q=${encodeURIComponent(text)}`), tasks]);
    const named = known.map((each) => each.name).filter((name) => name.toLowerCase().includes(text.toLowerCase()));
    return [
      ...named.slice(0, MOST).map((name) => ({ kind: "Task", text: name, note: "", href: `${base}/tasks/${encodeURIComponent(name)}` })),
      ...runs.map((run) => ({ kind: "Run", text: run.name, note: run.phase, href: `${base}/runs/${run.uid}` })),
    ];
  };

  // The list ---------------------------------------------------------------------------------------------------------
  const choose = (number) => {
    chosen = options.length ? (number + options.length) % options.length : 0;
    $$("[role=option]", list).forEach((each, index) => each.setAttribute("aria-selected", String(index === chosen)));
    const at = list.children[chosen];
    if (at) { input.setAttribute("aria-activedescendant", at.id); at.scrollIntoView({ block: "nearest" }); }
    else input.removeAttribute("aria-activedescendant");
  };
  const show = (wanted) => {
    options = wanted;
    list.replaceChildren(...options.map((option, index) => {
      const item = document.createElement("li"), kind = document.createElement("small"), text = document.createElement("bdi"), note = document.createElement("span");
      item.id = `palette-${index}`;
      item.setAttribute("role", "option");
      kind.textContent = option.kind;
      text.textContent = option.text;
      note.textContent = option.note ?? "";
      item.append(kind, text, note);
      item.addEventListener("click", () => take(index));
      return item;
    }));
    $("[data-nothing]", palette).hidden = options.length > 0;
    choose(0);
  };
  const take = (index) => {
    const option = options[index];
    if (!option) return;
    palette.close();
    if (option.href) location.href = option.href; else option.go();
  };
  const look = () => {
    const text = input.value.trim(), words = text.toLowerCase().split(/\s+/);
    const here = [...acts(), ...pages()].filter((each) => fits(`${each.kind} ${each.text}`, words));
    show(here);
    clearTimeout(timer);
    const number = ++asked;
    timer = setTimeout(async () => {
      const more = await found(text);
      // An answer to what was typed before comes too late.
      if (number === asked && more.length) show([...here, ...more]);
    }, 120);
  };
  const open = () => {
    if (palette.open || help.open) return;
    input.value = "";
    tasks = null;
    palette.showModal();
    look();
  };
  input.addEventListener("input", look);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); choose(chosen + step); }
    if (event.key === "Enter") { event.preventDefault(); take(chosen); }
  });
  for (const dialog of [palette, help]) dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // Keys -------------------------------------------------------------------------------------------------------------
  const step = (by) => {
    const names = $$(".tg-runs a.tg-name");
    if (!names.length) return;
    const now = names.indexOf(document.activeElement.closest("tr") ? $("a.tg-name", document.activeElement.closest("tr")) : null);
    names[Math.max(0, Math.min(names.length - 1, now < 0 ? 0 : now + by))].focus();
  };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") { event.preventDefault(); open(); return; }
    const typing = event.target instanceof Element && event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog, [data-log]");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const place = going && Date.now() - going < 1500 && $$(".tg-nav a").find((each) => each.dataset.key === event.key);
    if (place) {
      going = 0;
      place.click();
      return;
    }
    going = event.key === "g" ? Date.now() : 0;
    if (event.key === "?") help.showModal();
    if (event.key === "j") step(1);
    if (event.key === "k") step(-1);
    if (event.key === "x") {
      const box = $(".c-pick input", document.activeElement.closest("tr") ?? document.createElement("tr"));
      if (box) box.click();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-palette]")) open();
  });
})();

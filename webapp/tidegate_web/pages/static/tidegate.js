// Keeps pages current: one stream of events a page; what changed is fetched as the server renders it and put in place
// element by element, so that focus, selection and scrolling stay. Without the stream the page polls.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Times -----------------------------------------------------------------------------------------------------------
  const rough = (seconds) => {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.floor(seconds)} s`;
  };
  const two = (number) => String(number).padStart(2, "0");
  const duration = (seconds) => {
    const whole = Math.floor(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
    if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
    return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
  };
  const calendar = new Intl.DateTimeFormat("en-GB", { timeZone: document.documentElement.dataset.zone, weekday: "short", day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  // A timeline that goes on ends now: its marks move to the left, and what goes on grows.
  const grow = (now) => {
    const line = $("#timeline[data-grows]");
    const length = line ? (now - Date.parse(line.dataset.created)) / 1000 : 0;
    if (!line || length <= Number(line.dataset.grows)) return;
    // Twice as long as it was drawn: it needs other marks.
    if (length > 2 * Number(line.dataset.grows)) { line.dataset.grows = length; refresh(); }
    const at = (seconds) => `${100 * seconds / length}%`;
    for (const mark of $$("[data-at]", line)) {
      for (const name of ["x", "x1", "x2"]) if (mark.hasAttribute(name)) mark.setAttribute(name, at(mark.dataset.at));
    }
    for (const span of $$("rect", line)) {
      const { begin, end, ongoing } = span.dataset;
      span.setAttribute("x", at(begin));
      span.setAttribute("width", at((ongoing === undefined ? end : length) - begin));
    }
  };
  const tick = () => {
    const now = Date.now();
    for (const time of $$("time[data-relative]")) {
      const seconds = (now - Date.parse(time.dateTime)) / 1000;
      if (seconds < -1) write(time, `in ${rough(-seconds)}`);
      else write(time, seconds < 5 ? "just now" : `${rough(seconds)} ago`);
    }
    for (const time of $$("time[data-calendar]")) write(time, calendar.format(Date.parse(time.dateTime)));
    for (const place of $$("[data-zone-name]")) write(place, calendar.resolvedOptions().timeZone);
    for (const span of $$("[data-since]")) {
      write(span, duration(Math.max(0, (now - Date.parse(span.dataset.since)) / 1000)));
    }
    grow(now);
  };

  // Putting new HTML in place -----------------------------------------------------------------------------------------
  // Elements with an id are moved and compared by it; the others by their place.
  const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
  const morph = (from, to) => {
    if (from.isEqualNode(to)) return;
    if (from.nodeType !== Node.ELEMENT_NODE) { from.nodeValue = to.nodeValue; return; }
    if ("answered" in from.dataset && "why" in to.dataset) return; // the leader's word is newer than the status
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
    for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value && name !== "open") from.setAttribute(name, value);
    if (from.matches("input, select, textarea") && from === document.activeElement) return;
    morphChildren(from, to);
  };
  const morphChildren = (from, to) => {
    const wantedIds = new Set([...to.children].map((child) => child.id));
    const known = new Map();
    // What is gone goes first: then the others stay where they are, and what has the focus keeps it.
    for (const child of [...from.children]) {
      if (!child.id) continue;
      if (wantedIds.has(child.id)) known.set(child.id, child); else child.remove();
    }
    let place = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      const found = wanted.id ? known.get(wanted.id) : null;
      if (found && found.nodeName === wanted.nodeName) {
        while (place && place !== found && place.nodeType === Node.TEXT_NODE) { const next = place.nextSibling; place.remove(); place = next; }
        if (found === place) place = place.nextSibling;
        else from.insertBefore(found, place);
        morph(found, wanted);
      } else if (place && !place.id && same(place, wanted)) {
        const next = place.nextSibling;
        morph(place, wanted);
        place = next;
      } else {
        const fresh = document.importNode(wanted, true);
        if (fresh.nodeType === Node.ELEMENT_NODE && fresh.matches("tr, li")) fresh.classList.add("tg-fresh");
        from.insertBefore(fresh, place);
      }
    }
    while (place) { const next = place.nextSibling; place.remove(); place = next; }
  };

  // The phase of an event -----------------------------------------------------------------------------------------------
  // It is shown at once; the rest follows with the fragment. One that was asked for before the event may still have the old
  // phase, so the new one is put in again.
  const phases = new Map();
  const putPhase = (uid, phase) => {
    const old = $(`#run-${CSS.escape(uid)} .c-phase .tg-badge, [data-page=run][data-uid="${CSS.escape(uid)}"] #head .tg-badge`);
    const badge = $("#badges")?.content.querySelector(`[data-of="${CSS.escape(phase)}"] .tg-badge`);
    if (old && badge && old.textContent !== phase) old.replaceWith(document.importNode(badge, true));
  };
  const showPhase = (uid, phase) => { phases.set(uid, { phase, at: Date.now() }); putPhase(uid, phase); };
  const phasesSince = (asked) => {
    for (const [uid, { phase, at }] of phases) if (at < asked) phases.delete(uid); else putPhase(uid, phase);
  };

  const fragment = $("#fragment");
  // A fetch begins 400 ms after the last one did at the soonest. Where an answer takes longer, many ask: then each asks less often.
  const LEAST_PAUSE = 400, MOST_PAUSE = 10000;
  let fetching = false, again = false, missed = false, soon = false, lastFetch = 0, pause = LEAST_PAUSE, askedAgain = null;
  // Without Postgres no event comes: ask until it is back. Nor are there events here of the runs that a run has started.
  const askAgain = () => {
    clearTimeout(askedAgain);
    if ($("#away, #children[data-goes-on]")) askedAgain = setTimeout(refresh, 3000);
  };
  // A list goes on from the row that it began with: what is newer is counted, and pushes no row away from under the pointer.
  const address = () => {
    const wanted = new URL(fragment.dataset.address ?? location.href, location.href), top = $("#list")?.dataset.top;
    if (top) wanted.searchParams.set("top", top);
    return wanted;
  };
  // A page that nobody sees asks once, when it is seen again.
  const refresh = async (atOnce = false) => {
    if (document.hidden) { missed = true; return; }
    if (fetching) { again = true; soon ||= atOnce; return; }
    fetching = true;
    missed = soon = false;
    try {
      const rest = pause - (Date.now() - lastFetch);
      if (rest > 0 && !atOnce) await new Promise((done) => setTimeout(done, rest));
      const asked = lastFetch = Date.now();
      again = false;
      const answer = await fetch(address(), { headers: { "X-Fragment": "1" }, credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
      if (!answer.ok) return;
      const next = document.createElement("div");
      next.innerHTML = await answer.text();
      pause = Math.min(Math.max(LEAST_PAUSE, 2 * (Date.now() - asked)), MOST_PAUSE);
      morphChildren(fragment, next);
      phasesSince(asked);
      tick();
      document.dispatchEvent(new Event("refreshed"));
    } catch { /* the network is away; the next try comes */ } finally {
      fetching = false;
      if (again) refresh(soon); else askAgain();
    }
  };

  // The stream --------------------------------------------------------------------------------------------------------
  const live = $("[data-live]");
  const show = (state, text) => {
    if (!live) return;
    live.dataset.state = state;
    write($("span", live), text);
  };
  const percent = (value) => `${Math.round(value * 100)} %`;
  const progress = (root, event) => {
    const bar = root && $("[data-progress]", root);
    if (!bar) return false;
    root.hidden = false;
    if (event.progress !== null && event.progress !== undefined) {
      bar.value = event.progress;
      write($("[data-progress-text]", root), percent(event.progress));
    }
    if (event.message) write($("[data-progress-message]", root), event.message);
    return true;
  };
  const watch = (page) => {
    const one = page.dataset.uid;
    let last = page.dataset.seq, polling = null, stream = null;
    const poll = (on) => {
      if (on && !polling) polling = setInterval(refresh, 5000);
      if (!on && polling) { clearInterval(polling); polling = null; }
    };
    const open = () => {
      const query = new URLSearchParams();
      if (last) query.set("after", last);
      if (one) query.set("runs", one);
      stream = new EventSource(`/live/v1/projects/${encodeURIComponent(page.dataset.project)}/events?${query}`);
      stream.addEventListener("open", () => {
        if (live && live.dataset.state && live.dataset.state !== "live") refresh();
        poll(false);
        show("live", "Live");
      });
      stream.addEventListener("hello", (message) => { last = message.lastEventId; });
      stream.addEventListener("reset", (message) => { last = message.lastEventId; refresh(); });
      stream.addEventListener("run", (message) => {
        const event = JSON.parse(message.data);
        last = message.lastEventId;
        if (event.phase) showPhase(event.uid, event.phase);
        if (event.phase === null && !event.metadata) {
          const root = one ? $("#progress") : $(`#run-${CSS.escape(event.uid)}`);
          if (!progress(root, event)) refresh();
        } else refresh();
      });
      stream.addEventListener("error", () => {
        show("polling", "Reconnecting");
        poll(true);
        if (stream.readyState === EventSource.CLOSED) {
          show("polling", "Polling");
          setTimeout(open, 10000);
        }
      });
    };
    if (live) open();
    addEventListener("pagehide", () => stream && stream.close());
    addEventListener("pageshow", (event) => { if (event.persisted) { open(); refresh(); } });
  };

  // What a run waits for ----------------------------------------------------------------------------------------------
  // The leader's own word, asked for again and again: it changes with every other run, and no event tells of that.
  const why = (page) => {
    const where = `/api/v1/projects/${encodeURIComponent(page.dataset.project)}/runs/${page.dataset.uid}/why`;
    let asking = false;
    const show = (root, answer) => {
      const known = answer.reason !== "Unknown", place = answer.place;
      if (known) {
        write($("[data-why-reason]", root), answer.reason);
        write($("[data-why-message]", root), answer.message);
        root.dataset.answered = "";
      } else delete root.dataset.answered;
      write($("[data-why-note]", root), known ? "" : answer.message);
      $("[data-why-note]", root).hidden = known;
      if (place) {
        write($("[data-why-position]", root), String(place.position));
        write($("[data-why-waiting]", root), String(place.waiting));
        write($("[data-why-ahead]", root), place.aheadByPriority ? `${place.aheadByPriority} ahead by priority` : "");
      }
      $("[data-why-place]", root).hidden = !place;
    };
    const ask = async () => {
      const root = $("[data-why]");
      if (!root || asking || document.hidden) return;
      asking = true;
      try {
        const answer = await fetch(where, { headers: { Accept: "application/json" } });
        if (answer.ok) show(root, await answer.json());
      } catch { /* the next try comes */ } finally { asking = false; }
    };
    ask();
    setInterval(ask, 3000);
    document.addEventListener("refreshed", ask);
    document.addEventListener("visibilitychange", ask);
  };

  // The rest ----------------------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    for (const menu of $$("details.tg-menu[open]")) if (!target || !menu.contains(target)) menu.open = false;
    const copy = target?.closest("[data-copy]");
    if (copy) {
      navigator.clipboard?.writeText($("code, .tg-folded, .tg-json", copy.parentElement).textContent.trim()).then(() => {
        copy.classList.add("tg-copied");
        setTimeout(() => copy.classList.remove("tg-copied"), 1200);
      });
    }
    if (target?.closest("[data-theme-toggle]")) {
      const next = document.documentElement.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
      document.documentElement.setAttribute("data-bs-theme", next);
      try { localStorage.setItem("tidegate-theme", next); } catch { /* storage is off */ }
    }
    const link = target?.closest("a[data-in-place]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      history.replaceState(null, "", link.href);
      refresh(true);
    }
    const row = target?.closest(".tg-runs tbody tr");
    if (row && !target.closest("a, button, .c-pick") && !String(getSelection())) $("a.tg-name", row)?.click();
  });

  // Runs that are chosen to act on. Which they are is the state of their boxes, so that it outlives each refresh.
  const picks = () => $$("td.c-pick input");
  const chosen = () => {
    const all = $("[data-pick-all]"), count = $("[data-chosen]"), boxes = picks();
    if (!all || !count) return;
    const number = boxes.filter((box) => box.checked).length, matching = $("[data-all-matching]").checked;
    all.checked = number > 0 && number === boxes.length;
    all.indeterminate = number > 0 && number < boxes.length;
    write(count, matching ? "All" : String(number));
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick-all]")) for (const box of picks()) box.checked = event.target.checked;
    if (event.target.closest(".c-pick, #bulk")) chosen();
  });
  document.addEventListener("refreshed", chosen);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const menu of $$("details.tg-menu[open]")) { menu.open = false; $("summary", menu).focus(); }
    if (event.key === "/" && !event.target.closest("input, textarea, select")) {
      const search = $("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  document.addEventListener("change", (event) => { event.target.closest("form[data-filters]")?.requestSubmit(); });

  document.addEventListener("visibilitychange", () => { if (missed || $("[data-refresh]")) refresh(); });
  tick();
  setInterval(tick, 1000);
  const page = $("[data-page]");
  if (page) watch(page);
  askAgain();
  if (page?.dataset.page === "run") why(page);
  const refreshed = $("[data-refresh]");
  if (refreshed) {
    setInterval(() => { if ($("[data-refresh]")) refresh(); }, Number(refreshed.dataset.refresh) * 1000);
  }
})();

// The log of a run: lines as they come, in the order of the stream, and what a reader does with them.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* storage is off */ } };

  const logs = (page) => {
    const box = $("[data-log]"), empty = $("[data-log-empty]"), state = $("[data-log-state]");
    const follow = $("[data-log-follow]"), wrap = $("[data-log-wrap]"), choice = $("[data-log-attempt]"), text = $("[data-log-text]");
    const zone = $("[data-log-zone]"), raw = $("[data-log-raw]"), level = $("[data-log-level]");
    const search = $("[data-log-search]"), found = $("[data-log-found]"), line = $("[data-log-line]");
    const seen = new Set(), ends = new Map();
    let last = 0, following = true, polling = null, stream = null, readings = 0, target = null, ours = 0;

    const down = () => { box.scrollTop = box.scrollHeight; ours = box.scrollTop; };
    const list = globalThis.tidegateList(box, { onChange: () => changed(), onMove: () => { ours = box.scrollTop; } });
    // Blocks grow when they are drawn: the end stays the end.
    const grown = new ResizeObserver(() => { if (following) down(); });
    const setFollow = (on) => {
      following = on;
      follow.setAttribute("aria-pressed", String(on));
      if (on) down(); else ours = -10; // back at the end, the reader follows again
    };

    // What is shown -----------------------------------------------------------------------------------------------------
    const over = () => ["Succeeded", "Failed", "Cancelled", "Expired", "Skipped"].includes($("#head")?.dataset.phase);
    const showState = () => {
      const done = over(), lines = list.count;
      if (done && !lines && !ends.size) write(empty, "No log was kept.");
      const more = list.full ? " and more: download the log" : "";
      write(state, done || list.full ? (lines ? `${lines.toLocaleString("en")} line${lines === 1 ? "" : "s"}${more}` : "") : "");
    };
    const showFound = () => {
      const { count, current, more, busy } = list.matches, all = `${count.toLocaleString("en")}${more ? "+" : ""}`;
      if (!search.value) write(found, "");
      else if (busy) write(found, "Searching…");
      else if (!count) write(found, "No matches");
      else write(found, current ? `${current.toLocaleString("en")} of ${all}` : `${all} match${count === 1 ? "" : "es"}`);
    };
    const changed = () => {
      showFound();
      showState();
      if (target !== null && list.goTo(target)) target = null;
      if (following) down();
    };
    document.addEventListener("refreshed", showState);

    // What a reader does ------------------------------------------------------------------------------------------------
    follow.addEventListener("click", () => setFollow(!following));
    const pressed = (button, on) => button.setAttribute("aria-pressed", String(on));
    const toggle = (button, name, begin, act) => {
      let on = begin;
      pressed(button, on);
      act(on);
      button.addEventListener("click", () => {
        on = !on;
        pressed(button, on);
        keep(name, String(on));
        act(on);
        list.rebuild();
      });
    };
    toggle(wrap, "tidegate-log-wrap", kept("tidegate-log-wrap") !== "false", (on) => box.classList.toggle("tg-nowrap", !on));
    toggle(zone, "tidegate-log-local", kept("tidegate-log-local") !== "false", (on) => { list.view.local = on; });
    toggle(raw, "tidegate-log-raw", false, (on) => { list.view.raw = on; });
    box.addEventListener("wheel", (event) => { if (event.deltaY < 0) setFollow(false); }, { passive: true });
    box.addEventListener("touchmove", () => setFollow(false), { passive: true });
    box.addEventListener("keydown", (event) => {
      if (["ArrowUp", "PageUp", "Home"].includes(event.key)) setFollow(false);
      // At once: a slow scroll would go on while blocks on its way are drawn.
      if (event.key === "Home") box.scrollTop = 0;
      if (event.key === "End") setFollow(true);
      if (event.key === "Home" || event.key === "End") event.preventDefault();
    });
    let top = 0;
    box.addEventListener("scroll", () => {
      // Down to the end by the reader: neither by us, nor one of the first steps up from there.
      const byReader = box.scrollTop > top && Math.abs(box.scrollTop - ours) > 2;
      top = box.scrollTop;
      if (!following && target === null && byReader && box.scrollHeight - box.scrollTop - box.clientHeight < 8) setFollow(true);
    });
    choice.addEventListener("change", () => {
      list.view.attempt = choice.value;
      if (text) text.search = choice.value ? `?attempt=${choice.value}` : "";
      list.rebuild();
      setFollow(true);
    });
    level.addEventListener("change", () => {
      list.view.level = Number(level.value);
      list.rebuild();
    });
    const step = (by) => {
      setFollow(false);
      list.step(by);
    };
    let typed = null;
    search.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(() => list.find(search.value), 150); });
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "n" || event.key === "N") step(event.shiftKey ? -1 : 1);
    });
    $("[data-log-next]").addEventListener("click", () => step(1));
    $("[data-log-previous]").addEventListener("click", () => step(-1));

    // The line of the address -------------------------------------------------------------------------------------------
    const goTo = (number) => {
      setFollow(false);
      if (number <= list.count && !list.has(number) && list.settled && (list.view.level || list.view.attempt)) {
        level.value = "0";
        choice.value = list.view.attempt = "";
        list.view.level = 0;
        list.rebuild();
      }
      target = list.goTo(number) ? null : number;
      box.scrollIntoView({ block: "nearest" });
    };
    const ofAddress = () => {
      const number = /^#L([1-9]\d{0,6})$/.exec(location.hash)?.[1];
      if (number) goTo(Number(number));
    };
    addEventListener("hashchange", ofAddress);
    line.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!line.value) return;
      if (location.hash === `#L${line.value}`) ofAddress(); else location.hash = `L${line.value}`;
      box.focus({ preventScroll: true });
    });

    // What comes --------------------------------------------------------------------------------------------------------
    const part = (attempt) => {
      empty.hidden = true;
      if (seen.has(attempt)) return;
      seen.add(attempt);
      choice.append(new Option(`Attempt ${attempt}`, String(attempt)));
    };
    const chunk = (data) => {
      if (data.id <= last) return;
      last = data.id;
      part(data.attempt);
      grown.observe(list.section(data.attempt, data.pod).element);
      list.write(data.attempt, data.pod, data.text);
    };
    // The chunk that we came with is gone: the stream tells all of the log once more.
    const beginAgain = () => {
      list.clear();
      ends.clear();
      last = 0;
      readings += 1;
    };
    const end = (data) => {
      ends.set(`${data.attempt}/${data.pod}`, data);
      if (data.end !== "complete") {
        part(data.attempt);
        list.note(data.attempt, data.pod, `Log ${data.end}${data.reason ? `: ${data.reason}` : ""}`);
      } else if (!list.count) write(empty, data.reason || "Nothing was written.");
      changed();
    };
    const fetchLogs = async () => {
      try {
        const where = `/api/v1/projects/${encodeURIComponent(page.dataset.project)}/runs/${page.dataset.uid}/logs?after=${last}`;
        const reading = readings;
        const answer = await fetch(where, { headers: { Accept: "application/json" } });
        if (!answer.ok) return;
        const body = await answer.json();
        if (reading !== readings) return;
        body.items.forEach(chunk);
        body.ends.forEach(end);
      } catch { /* the next try comes */ }
    };
    const start = () => {
      stream = new EventSource(`/live/v1/projects/${encodeURIComponent(page.dataset.project)}/runs/${page.dataset.uid}/logs?after=${last}`);
      stream.addEventListener("open", () => { if (polling) { clearInterval(polling); polling = null; } });
      stream.addEventListener("reset", beginAgain);
      stream.addEventListener("chunk", (message) => chunk(JSON.parse(message.data)));
      stream.addEventListener("end", (message) => end(JSON.parse(message.data)));
      stream.addEventListener("error", () => {
        if (!polling) { fetchLogs(); polling = setInterval(fetchLogs, 3000); }
        if (stream.readyState === EventSource.CLOSED) setTimeout(start, 10000);
      });
    };
    ofAddress();
    start();
    showState();
    addEventListener("pagehide", () => stream && stream.close());
  };

  logs($("[data-page=run]"));
})();

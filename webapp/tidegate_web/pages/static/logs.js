// The log of a run: lines as they come, in the order of the stream, by attempt and pod. Text is never taken for HTML.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  // Records of the task library ---------------------------------------------------------------------------------------
  // One JSON object a line (runner-image/tidegate/logs.py). Whatever else is JSON stays as it was written.
  const LEVELS = { debug: "tg-line-dim", info: "", warning: "tg-line-odd", error: "tg-line-bad" };
  const TIME = /^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d\.\d{3})Z$/;
  // Numbers are shown as they were written: JavaScript rounds large ones, and doesn't know NaN in JSON.
  const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN|-?\d[\d.eE+-]*/g;
  const NUMBER = "\u0000number:";
  const recordOf = (text) => {
    if (!text.startsWith("{") || !text.endsWith("}")) return null;
    try {
      const kept = text.replace(TOKEN, (token) => (token[0] === '"' ? token : JSON.stringify(NUMBER + token)));
      const record = JSON.parse(kept);
      const ours = TIME.test(record.time) && Object.hasOwn(LEVELS, record.level) && Object.hasOwn(record, "message");
      return ours ? record : null;
    } catch { return null; }
  };
  // Colours (ANSI) are taken out.
  const plain = (text) => text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replace(/\r(?!$)/g, "\n").replace(/\r$/, "");
  const shownAs = (value, bare) => {
    if (typeof value !== "string") return JSON.stringify(value).replaceAll(/"\\u0000number:([^"]*)"/g, "$1");
    if (value.startsWith(NUMBER)) return value.slice(NUMBER.length);
    const text = plain(value);
    return bare || text.includes("\n") || /^[^\s"]+$/.test(text) ? text : JSON.stringify(text);
  };
  const span = (name, ...content) => {
    const made = document.createElement("span");
    made.className = name;
    made.append(...content);
    return made;
  };
  const drawRecord = (line, { time, level, message, ...fields }) => {
    const clock = span("tg-record-time", TIME.exec(time)[1]);
    clock.title = time;
    line.replaceChildren(clock, " ", span("tg-record-level", level), " ", span("tg-record-message", shownAs(message, true)));
    for (const [name, value] of Object.entries(fields)) {
      line.append(" ", span("tg-record-field", span("tg-record-name", `${name}=`), shownAs(value, false)));
    }
  };
  const draw = (line, text) => {
    const record = recordOf(text);
    const body = record ? "" : plain(text), begin = body.slice(0, 200);
    line.className = "tg-line";
    if (record) {
      line.classList.add("tg-record", ...[LEVELS[record.level]].filter(Boolean));
      drawRecord(line, record);
      return;
    }
    if (/\b(error|exception|traceback|fatal|critical)\b/i.test(begin)) line.classList.add("tg-line-bad");
    else if (/\bwarn(ing)?\b/i.test(begin)) line.classList.add("tg-line-odd");
    line.textContent = body;
  };

  // The view ----------------------------------------------------------------------------------------------------------
  const MOST_LINES = 20000;
  const logs = (page) => {
    const box = $("[data-log]"), empty = $("[data-log-empty]"), state = $("[data-log-state]");
    const follow = $("[data-log-follow]"), wrap = $("[data-log-wrap]"), choice = $("[data-log-attempt]"), text = $("[data-log-text]");
    const seen = new Set(), ends = new Map();
    let last = 0, following = true, pods = 0, polling = null, stream = null, lines = 0, readings = 0;
    const setFollow = (on) => {
      following = on;
      follow.setAttribute("aria-pressed", String(on));
      if (on) box.scrollTop = box.scrollHeight;
    };
    follow.addEventListener("click", () => setFollow(!following));
    wrap.addEventListener("click", () => {
      const on = wrap.getAttribute("aria-pressed") !== "true";
      wrap.setAttribute("aria-pressed", String(on));
      box.classList.toggle("tg-nowrap", !on);
    });
    box.addEventListener("wheel", (event) => { if (event.deltaY < 0) setFollow(false); }, { passive: true });
    box.addEventListener("scroll", () => {
      if (!following && box.scrollHeight - box.scrollTop - box.clientHeight < 8) setFollow(true);
    });
    const shown = () => { for (const part of $$(".tg-pod", box)) part.hidden = choice.value !== "" && part.dataset.attempt !== choice.value; };
    choice.addEventListener("change", () => {
      shown();
      setFollow(true);
      if (text) text.search = choice.value ? `?attempt=${choice.value}` : "";
    });
    const part = (attempt, pod) => {
      const id = `${attempt}/${pod}`;
      let found = $$(".tg-pod", box).find((one) => one.dataset.key === id);
      if (!found) {
        found = document.createElement("div");
        found.className = "tg-pod";
        found.dataset.key = id;
        found.dataset.attempt = String(attempt);
        const head = document.createElement("div");
        head.className = "tg-pod-head";
        head.textContent = `Attempt ${attempt} · ${pod}`;
        found.append(head);
        box.append(found);
        pods += 1;
        if (!seen.has(attempt)) {
          seen.add(attempt);
          choice.append(new Option(`Attempt ${attempt}`, String(attempt)));
        }
        box.classList.toggle("tg-one-pod", pods === 1);
        shown();
      }
      return found;
    };
    // The line that each pod hasn't ended yet, with its text as it came.
    const open = new Map();
    const add = (root, text) => {
      const line = document.createElement("div");
      draw(line, text);
      root.append(line);
      lines += 1;
      return { line, text };
    };
    const go = (root, text) => {
      const unfinished = open.get(root);
      if (!unfinished) return add(root, text);
      unfinished.text += text;
      draw(unfinished.line, unfinished.text);
      return unfinished;
    };
    const chunk = (data) => {
      if (data.id <= last) return;
      last = data.id;
      empty.hidden = true;
      const root = part(data.attempt, data.pod);
      const pieces = data.text.split("\n");
      const unfinished = pieces.pop();
      for (const piece of pieces) { go(root, piece); open.delete(root); }
      if (unfinished) open.set(root, go(root, unfinished));
      while (lines > MOST_LINES) { const old = $(".tg-line", box); if (!old) break; old.remove(); lines -= 1; }
      if (following) box.scrollTop = box.scrollHeight;
    };
    // The chunk that we came with is gone: the stream tells all of the log once more.
    const beginAgain = () => {
      for (const each of $$(".tg-pod", box)) each.remove();
      open.clear();
      ends.clear();
      last = lines = pods = 0;
      readings += 1;
    };
    const end = (data) => {
      ends.set(`${data.attempt}/${data.pod}`, data);
      if (data.end !== "complete") {
        empty.hidden = true;
        const root = part(data.attempt, data.pod);
        if (!$(".tg-log-end", root)) {
          const note = document.createElement("div");
          note.className = "tg-log-end";
          note.textContent = `Log ${data.end}${data.reason ? `: ${data.reason}` : ""}`;
          root.append(note);
        }
      } else if (!lines) write(empty, data.reason || "Nothing was written.");
      showState();
    };
    const over = () => ["Succeeded", "Failed", "Cancelled", "Expired", "Skipped"].includes($("#head")?.dataset.phase);
    const showState = () => {
      const done = over();
      if (done && !lines && !ends.size) write(empty, "No log was kept.");
      write(state, done ? (lines ? `${lines} line${lines === 1 ? "" : "s"}` : "") : "");
    };
    document.addEventListener("refreshed", showState);
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
    start();
    showState();
    addEventListener("pagehide", () => stream && stream.close());
  };

  logs($("[data-page=run]"));
})();

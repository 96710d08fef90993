// The lines of a log in their box. All of them are kept, and those near the window are drawn: a block of lines that is far
// has its height alone, so that a hundred thousand lines cost what is seen of them.
(() => {
  "use strict";
  const { RANKS, TONES, levelOfLine, pieces, styleAfter } = globalThis.tidegateLine;
  const BLOCK_LINES = 100, BLOCK_TEXT = 65536;
  const MOST_SHOWN = 20000; // characters of one line, until the whole of it is asked for
  const MOST_LINES = 1000000, MOST_MATCHES = 100000;
  const SLICE_MS = 10; // so long the page is kept busy at once

  const element = (name, kind, ...content) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.append(...content);
    return made;
  };

  globalThis.tidegateList = (box, { onChange, onMove }) => {
    const view = { local: true, raw: false, level: 0, attempt: "" };
    let sections = [], lines = [], queue = [], working = null, wanted = null, current = null;
    let marked = null; // the line of the address
    const blockOf = new Map();

    // Drawing -----------------------------------------------------------------------------------------------------------
    const draw = (line) => {
      const made = element("div", "tg-line"), parts = pieces(line, view);
      const number = element("a", "tg-number");
      number.href = `#L${line.number}`;
      number.dataset.number = line.number;
      number.tabIndex = -1; // "Go to line" is the way by keyboard: a stop for each line would be no way through
      number.setAttribute("aria-label", `Line ${line.number}`);
      made.append(number);
      if (parts.record) made.classList.add("tg-record");
      if (TONES[line.level]) made.classList.add(TONES[line.level]);
      if (line === marked) made.classList.add("tg-line-marked");
      let left = line.whole ? Infinity : MOST_SHOWN, size = 0;
      for (const part of parts) {
        size += part.text.length;
        if (left <= 0) continue;
        const text = part.text.slice(0, left);
        left -= text.length;
        const span = part.kind ? element("span", part.kind, text) : document.createTextNode(text);
        if (part.title) span.title = part.title;
        if (part.time) span.unsearched = true;
        made.append(span);
      }
      if (size > MOST_SHOWN && !line.whole) {
        const more = element("button", "tg-more", `Show all ${size.toLocaleString("en")} characters`);
        more.type = "button";
        more.unsearched = true;
        more.addEventListener("click", () => { line.whole = true; redraw(line); box.focus(); });
        made.append(more);
      }
      line.element = made;
      return made;
    };
    const redraw = (line) => {
      const old = line.element;
      if (old) { old.replaceWith(draw(line)); highlight(); }
    };
    const rowHeight = () => parseFloat(getComputedStyle(box).lineHeight) || 20;
    let row = 0, columns = 0;
    const guess = (block) => {
      row ||= rowHeight();
      columns ||= Math.max(20, Math.floor(box.clientWidth / (row * 0.375)));
      const wrapped = !box.classList.contains("tg-nowrap");
      const rows = block.lines.reduce((sum, line) => sum + (wrapped ? Math.max(1, Math.ceil(Math.min(line.raw.length, MOST_SHOWN) / columns)) : 1), 0);
      block.element.style.height = `${Math.round(rows * row)}px`;
    };
    const show = (block) => {
      if (block.drawn) return;
      block.drawn = true;
      block.element.style.height = "";
      block.element.replaceChildren(...block.lines.map(draw));
    };
    const hide = (block, height) => {
      if (!block.drawn || block.element.contains(document.activeElement)) return;
      block.drawn = false;
      for (const line of block.lines) line.element = null;
      block.element.replaceChildren();
      block.element.style.height = `${height}px`;
    };
    const near = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting, boundingClientRect } of entries) {
        const block = target.block;
        if (isIntersecting) show(block); else hide(block, boundingClientRect.height);
      }
      highlight();
    }, { root: box, rootMargin: "800px 0px" });

    // Placing -----------------------------------------------------------------------------------------------------------
    const passes = (line) => !view.level || (RANKS[line.level] ?? 0) >= view.level;
    const section = (attempt, pod) => {
      const key = `${attempt}/${pod}`;
      let found = sections.find((one) => one.key === key);
      if (!found) {
        found = { key, attempt, element: element("div", "tg-pod", element("div", "tg-pod-head", `Attempt ${attempt} · ${pod}`)), blocks: [], open: null, style: null, level: null, end: null };
        found.element.hidden = view.attempt !== "" && view.attempt !== String(attempt);
        sections.push(found);
        box.append(found.element);
        box.classList.toggle("tg-one-pod", sections.length === 1);
      }
      return found;
    };
    const place = (line, dirty) => {
      const from = line.section;
      let block = from.blocks.at(-1);
      if (!block || block.lines.length >= BLOCK_LINES || block.size > BLOCK_TEXT) {
        block = { element: element("div", "tg-block"), lines: [], size: 0, drawn: false };
        block.element.block = block;
        from.blocks.push(block);
        from.element.insertBefore(block.element, from.end);
        near.observe(block.element);
      }
      block.lines.push(line);
      block.size += Math.min(line.raw.length, MOST_SHOWN);
      blockOf.set(line, block);
      if (block.drawn) block.element.append(draw(line)); else dirty.add(block);
    };
    // What has come is read in slices: the page answers in between.
    const work = () => {
      working = null;
      const until = performance.now() + SLICE_MS, dirty = new Set();
      let at = 0;
      for (; at < queue.length && performance.now() < until; at += 1) {
        const line = queue[at], was = blockOf.get(line);
        line.queued = false;
        line.search = null;
        const level = levelOfLine(line.raw) ?? (/^\s/.test(line.raw) ? line.before?.level : null) ?? null;
        line.level = level;
        if (was) redraw(line);
        else if (passes(line)) place(line, dirty);
      }
      queue = queue.slice(at);
      for (const block of dirty) if (!block.drawn) guess(block);
      if (queue.length) later();
      if (wanted) { clearTimeout(searching); searching = setTimeout(search, 200); }
      onChange();
    };
    const later = () => { working ??= setTimeout(work, 0); };
    const enqueue = (line) => {
      if (line.queued) return;
      line.queued = true;
      queue.push(line);
      later();
    };
    const rebuild = () => {
      for (const each of sections) {
        each.element.hidden = view.attempt !== "" && view.attempt !== String(each.attempt);
        for (const block of each.blocks) { near.unobserve(block.element); block.element.remove(); }
        each.blocks = [];
      }
      blockOf.clear();
      row = columns = 0;
      const dirty = new Set();
      for (const line of lines) {
        line.element = line.search = null;
        if (!line.queued && passes(line)) place(line, dirty);
      }
      dirty.forEach(guess);
      search();
      onChange();
    };

    // Searching ---------------------------------------------------------------------------------------------------------
    let searching = null, matches = [], byLine = new Map();
    const textOf = (line) => (line.search ??= pieces(line, view).filter((part) => !part.time).map((part) => part.text).join(""));
    const search = (after = null) => {
      clearTimeout(searching);
      const before = current && matches[current - 1];
      matches = [];
      byLine = new Map();
      current = null;
      if (!wanted) { highlight(); onChange(); return; }
      const shown = sections.filter((one) => !one.element.hidden).flatMap((one) => one.blocks.flatMap((block) => block.lines));
      const pattern = new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
      let at = 0;
      const slice = () => {
        const until = performance.now() + SLICE_MS;
        for (; at < shown.length && performance.now() < until && matches.length < MOST_MATCHES; at += 1) {
          const line = shown[at], found = [];
          for (const match of textOf(line).matchAll(pattern)) {
            found.push({ line, from: match.index, to: match.index + match[0].length });
            if (before && before.line === line && before.from === match.index) current = matches.length + found.length;
            if (matches.length + found.length >= MOST_MATCHES) break;
          }
          if (found.length) { byLine.set(line, found); matches.push(...found); }
        }
        if (at < shown.length && matches.length < MOST_MATCHES) { searching = setTimeout(slice, 0); return; }
        searching = null;
        highlight();
        after?.();
        onChange();
      };
      slice();
    };
    // Where a match is drawn: the same text, without what isn't searched.
    const rangeOf = ({ line, from, to }) => {
      if (!line.element) return null;
      const range = new Range();
      let at = 0, begun = false;
      for (const node of [...line.element.childNodes].slice(1)) {
        if (node.unsearched) continue;
        const text = node.nodeType === Node.TEXT_NODE ? node : node.firstChild;
        if (!text) continue;
        if (!begun && from < at + text.length) { range.setStart(text, from - at); begun = true; }
        if (begun && to <= at + text.length) { range.setEnd(text, to - at); return range; }
        at += text.length;
      }
      return null;
    };
    const highlight = () => {
      if (!globalThis.Highlight) return;
      const drawn = sections.flatMap((one) => one.blocks).filter((block) => block.drawn).flatMap((block) => block.lines);
      const found = drawn.flatMap((line) => (byLine.get(line) ?? []).slice(0, 1000)).map(rangeOf).filter(Boolean);
      const here = current ? rangeOf(matches[current - 1]) : null;
      CSS.highlights.set("tg-match", new Highlight(...found));
      CSS.highlights.set("tg-current", new Highlight(...[here].filter(Boolean)));
    };

    // Going somewhere ---------------------------------------------------------------------------------------------------
    const center = (line, match) => {
      const block = blockOf.get(line);
      if (!block) return;
      show(block);
      if (match && !line.whole && match.to > MOST_SHOWN) { line.whole = true; redraw(line); }
      const target = (match && rangeOf(match)) || line.element;
      const wantedTop = target.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
      if (Math.abs(wantedTop) > 4) box.scrollTop += wantedTop;
      onMove();
    };
    const go = (line, match = null) => {
      // Blocks around it are drawn a frame later, and may be higher than was guessed.
      let again = 3;
      const once = () => { center(line, match); highlight(); again -= 1; if (again) requestAnimationFrame(once); };
      once();
    };
    return {
      view,
      rebuild,
      section,
      get count() { return lines.length; },
      get settled() { return !queue.length && working === null; },
      get full() { return lines.length >= MOST_LINES; },
      get matches() { return { count: matches.length, current, more: matches.length >= MOST_MATCHES, busy: searching !== null }; },
      write(attempt, pod, text) {
        const into = section(attempt, pod), parts = text.split("\n"), last = parts.length - 1;
        parts.forEach((part, at) => {
          if (at === last && !part) return;
          if (into.open) into.open.raw += part;
          else {
            if (lines.length >= MOST_LINES) return;
            into.open = { number: lines.length + 1, section: into, raw: part, style: into.style, level: null, before: into.last ?? null, search: null, element: null, whole: false, queued: false };
            into.last = into.open;
            lines.push(into.open);
          }
          const line = into.open;
          if (at < last) { into.style = styleAfter(line.raw, line.style); into.open = null; }
          enqueue(line);
        });
      },
      note(attempt, pod, text) {
        const into = section(attempt, pod);
        if (into.end) return;
        into.end = element("div", "tg-log-end", text);
        into.element.append(into.end);
      },
      clear() {
        near.disconnect();
        for (const each of sections) each.element.remove();
        sections = []; lines = []; queue = []; matches = []; byLine = new Map(); current = marked = null;
        blockOf.clear();
      },
      find(text) {
        wanted = text;
        current = null;
        search();
      },
      step(by) {
        if (!matches.length) return;
        current = current === null ? (by > 0 ? 1 : matches.length) : ((current - 1 + by + matches.length) % matches.length) + 1;
        const match = matches[current - 1];
        go(match.line, match);
        onChange();
      },
      // False as long as there is no such line.
      goTo(number) {
        const line = lines[number - 1];
        if (!line || line.queued) return false;
        const old = marked;
        marked = line;
        if (old) redraw(old);
        redraw(line);
        go(line);
        return true;
      },
      has(number) { return Boolean(lines[number - 1]) && blockOf.has(lines[number - 1]) && !lines[number - 1].section.element.hidden; },
    };
  };
})();

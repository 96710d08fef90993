// What a line of a log says: its level, and its time, message, fields and colours as pieces of text. Nothing here touches
// the page, and nothing takes text for HTML. Every expression is linear in the line: a task may write any line.
(() => {
  "use strict";

  // Levels ------------------------------------------------------------------------------------------------------------
  const RANKS = { debug: 1, info: 2, warning: 3, error: 4 };
  const WORDS = {
    trace: "debug", debug: "debug", verbose: "debug", info: "info", information: "info", notice: "info", warn: "warning", warning: "warning",
    err: "error", error: "error", crit: "error", critical: "error", fatal: "error", panic: "error", alert: "error", emergency: "error",
    10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "error",
    i: "info", w: "warning", e: "error", f: "error",
  };
  const known = (word) => (Object.hasOwn(WORDS, word) ? WORDS[word] : null);
  const SAYS = [
    /\b(?:level|lvl|severity)=["']?([A-Za-z]+)/,
    /^([IWEF])\d{4} \d\d:\d\d/,
    /\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|PANIC)\b/,
    /(?:^|\[)(trace|debug|info|notice|warn|warning|error|critical|fatal)[\]:]/i,
    /\b(error|fatal|critical|warning|warn)\b/i,
  ];
  const levelOf = (text) => {
    const begin = text.slice(0, 200);
    for (const pattern of SAYS) {
      const level = known(pattern.exec(begin)?.[1].toLowerCase() ?? "");
      if (level) return level;
    }
    return /\b(exception|traceback)\b|^[\w.]+(Error|Exception)\b/i.test(begin) ? "error" : null;
  };

  // Records: one JSON object a line -----------------------------------------------------------------------------------
  // Numbers are shown as they were written: JavaScript rounds large ones, and doesn't know NaN in JSON. A string that
  // isn't closed is one token up to the end: each character is read once.
  const TOKEN = /"[^"\\]*(?:\\[^][^"\\]*)*(?:"|$)|-?Infinity|NaN|-?\d[\d.eE+-]*/g;
  const NUMBER = "\u0000number:";
  const NAMES = {
    message: ["message", "msg", "event"],
    level: ["level", "severity", "levelname", "lvl"],
    time: ["time", "timestamp", "ts", "@timestamp"],
  };
  const bare = (value) => (typeof value === "string" && value.startsWith(NUMBER) ? value.slice(NUMBER.length) : value);
  const millis = (value) => {
    const text = String(bare(value));
    if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * (Number(text) > 1e11 ? 1 : 1000);
    return /^\d{4}-\d\d-\d\d[T ].*(Z|[+-]\d\d:?\d\d)$/.test(text) ? Date.parse(text.replace(" ", "T").replace(",", ".")) : NaN;
  };
  const recordOf = (text) => {
    if (!text.startsWith("{") || !text.endsWith("}")) return null;
    try {
      const fields = JSON.parse(text.replace(TOKEN, (token) => (token[0] === '"' ? token : JSON.stringify(NUMBER + token))));
      const name = (of) => NAMES[of].find((one) => Object.hasOwn(fields, one));
      const message = name("message"), level = name("level"), time = name("time");
      const word = level ? String(bare(fields[level])) : null, rank = word && known(word.toLowerCase()), at = time ? millis(fields[time]) : NaN;
      if (!message || (!rank && Number.isNaN(at))) return null;
      const rest = Object.entries(fields).filter(([key]) => key !== message && !(rank && key === level) && !(at === at && key === time));
      const said = shownAs(fields[message], true);
      return { at, written: time && String(bare(fields[time])), word: rank ? word : null, level: rank || null, message: said,
        fields: rest.map(([key, value]) => [key, shownAs(value, false)]) };
    } catch { return null; } // no JSON, or nested too deep to be written again
  };

  // Control codes -----------------------------------------------------------------------------------------------------
  const ESCAPE = /\u001b(?:\[([0-9;:]*)m|\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]*[0-Z\\^-~])/g;
  const picture = (code) => (code > "\u007f" ? "\ufffd" : code === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + code.charCodeAt(0)));
  const visible = (text) => text.replace(/\r$/, "").replace(/\r/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, picture);
  const plain = (text) => visible(text.replace(ESCAPE, ""));
  const shownAs = (value, whole) => {
    if (typeof value !== "string") return JSON.stringify(value).replaceAll(/"\\u0000number:([^"]*)"/g, "$1");
    if (value.startsWith(NUMBER)) return bare(value);
    const text = plain(value);
    return whole || text.includes("\n") || /^[^\s"]+$/.test(text) ? text : JSON.stringify(text);
  };

  // Colours: the nearest of sixteen, each a class that is legible here ------------------------------------------------
  const PALETTE = [
    [0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0], [0, 0, 238], [205, 0, 205], [0, 205, 205], [229, 229, 229],
    [127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0], [92, 92, 255], [255, 0, 255], [0, 255, 255], [255, 255, 255],
  ];
  const nearest = (rgb) => {
    const far = PALETTE.map((one) => one.reduce((sum, part, at) => sum + (part - rgb[at]) ** 2, 0));
    return far.indexOf(Math.min(...far));
  };
  const LEVELS_OF_CUBE = [0, 95, 135, 175, 215, 255];
  const ofTable = (number) => {
    if (!(number >= 0 && number < 256)) return null;
    if (number < 16) return number;
    if (number > 231) return nearest(Array(3).fill(8 + 10 * (number - 232)));
    const place = number - 16;
    return nearest([Math.floor(place / 36), Math.floor(place / 6) % 6, place % 6].map((one) => LEVELS_OF_CUBE[one]));
  };
  const ATTRIBUTES = { 1: "bold", 2: "faint", 3: "italic", 4: "under", 7: "inverse", 9: "strike" };
  const ENDS = { 22: ["bold", "faint"], 23: ["italic"], 24: ["under"], 27: ["inverse"], 29: ["strike"], 39: ["fg"], 49: ["bg"] };
  const without = (style, names) => Object.fromEntries(Object.entries(style).filter(([name]) => !names.includes(name)));
  const styled = (style, codes) => {
    const numbers = codes.split(/[;:]/).slice(0, 64).map(Number);
    let made = style ?? {};
    for (let at = 0; at < numbers.length; at += 1) {
      const code = numbers[at];
      if (code === 0) made = {};
      else if (ATTRIBUTES[code]) made = { ...made, [ATTRIBUTES[code]]: true };
      else if (ENDS[code]) made = without(made, ENDS[code]);
      else if (code === 38 || code === 48) {
        const table = numbers[at + 1] === 5, colour = table ? ofTable(numbers[at + 2]) : nearest(numbers.slice(at + 2, at + 5));
        if (colour !== null) made = { ...made, [code === 38 ? "fg" : "bg"]: colour };
        at += table ? 2 : 4;
      } else {
        const ground = { 3: "fg", 4: "bg", 9: "fg", 10: "bg" }[Math.floor(code / 10)];
        if (ground && code % 10 < 8) made = { ...made, [ground]: code % 10 + (code >= 90 ? 8 : 0) };
      }
    }
    return Object.keys(made).length ? made : null;
  };
  const classOf = (style) => {
    if (!style) return "";
    return Object.entries(style).map(([name, value]) => (value === true ? `tg-${name}` : `tg-${name}-${value}`)).join(" ");
  };
  // The style that a line leaves to the next one of its pod.
  const styleAfter = (text, style) => {
    if (!text.includes("\u001b")) return style;
    for (const [, codes] of text.matchAll(ESCAPE)) if (codes !== undefined) style = styled(style, codes);
    return style;
  };
  const coloured = (text, style) => {
    if (!style && !text.includes("\u001b")) return [{ text: visible(text), kind: "" }];
    const pieces = [];
    const push = (part) => { if (part) pieces.push({ text: visible(part), kind: classOf(style) }); };
    let from = 0;
    for (const found of text.matchAll(ESCAPE)) {
      push(text.slice(from, found.index));
      from = found.index + found[0].length;
      if (found[1] !== undefined) style = styled(style, found[1]);
    }
    push(text.slice(from));
    return pieces;
  };

  // Times, in the viewer's zone or as they were written ---------------------------------------------------------------
  const STAMP = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)(?=\s|$)/;
  const pad = (number, places = 2) => String(number).padStart(places, "0");
  // The zone of the account, else the browser's: how many minutes it is ahead of UTC at a time.
  const own = document.documentElement.dataset.zone;
  const wall = own && new Intl.DateTimeFormat("en-US", { timeZone: own, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
  const ahead = (at) => {
    if (!wall) return -at.getTimezoneOffset();
    const part = Object.fromEntries(wall.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
    return Math.round((Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) - at) / 60000);
  };
  const there = (at) => new Date(+at + 60000 * ahead(at)).toISOString();
  const clock = (at) => there(at).slice(11, 23);
  const zone = (at) => {
    const minutes = ahead(at), size = Math.abs(minutes);
    return minutes ? `${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}` : "Z";
  };
  const full = (at) => there(at).slice(0, 23) + zone(at);

  const TONES = { debug: "tg-line-dim", info: "", warning: "tg-line-odd", error: "tg-line-bad" };
  // A line as pieces. Each has a text and the class of its element; a time isn't part of what is searched.
  const pieces = (line, { local, raw }) => {
    const record = raw ? null : recordOf(line.raw);
    if (!record) {
      const stamp = local && !raw ? STAMP.exec(line.raw)?.[0] : null, at = stamp ? new Date(millis(stamp)) : null;
      if (!at || Number.isNaN(+at) || !ahead(at)) return coloured(line.raw, line.style);
      return [{ text: full(at), kind: "tg-record-time", title: stamp, time: true }, ...coloured(line.raw.slice(stamp.length), line.style)];
    }
    const found = [];
    const at = new Date(record.at);
    if (!Number.isNaN(+at)) {
      found.push({ text: local ? clock(at) : at.toISOString().slice(11, 23), kind: "tg-record-time", title: local && ahead(at) ? `${full(at)} (${record.written})` : record.written, time: true });
      found.push({ text: " ", kind: "", time: true });
    }
    if (record.word) found.push({ text: record.word, kind: "tg-record-level" }, { text: " ", kind: "" });
    found.push({ text: record.message, kind: "tg-record-message" });
    for (const [name, value] of record.fields) {
      found.push({ text: " ", kind: "" }, { text: `${visible(name)}=`, kind: "tg-record-name" }, { text: value, kind: "tg-record-field" });
    }
    found.record = true;
    return found;
  };
  const levelOfLine = (raw) => {
    const record = recordOf(raw);
    return record?.level ?? levelOf(raw.includes("\u001b") ? raw.slice(0, 1000).replace(ESCAPE, "") : raw);
  };

  globalThis.tidegateLine = { RANKS, TONES, levelOfLine, pieces, styleAfter };
})();

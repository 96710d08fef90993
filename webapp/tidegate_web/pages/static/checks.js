// Forms with data-check are checked as one types: the server renders what it would refuse, and each field that is to blame is marked.
(() => {
  "use strict";
  for (const form of document.querySelectorAll("form[data-check]")) {
    const place = form.querySelector("[data-checked]");
    let waiting = null, asked = null;
    const mark = () => {
      const wrong = new Set([...place.querySelectorAll("[data-mistaken]")].map((each) => each.dataset.mistaken));
      for (const field of form.elements) {
        if (wrong.has(field.id)) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid");
      }
    };
    const check = async () => {
      asked?.abort();
      const mine = asked = new AbortController();
      try {
        const answer = await fetch(form.dataset.check, { method: "POST", body: new FormData(form), headers: { "X-Fragment": "1" }, credentials: "same-origin", signal: mine.signal });
        if (!answer.ok || answer.redirected) return;
        const text = await answer.text();
        // What has not changed is not written: a screen reader would say it again.
        if (mine === asked && place.dataset.shown !== text) { place.innerHTML = text; place.dataset.shown = text; }
        mark();
      } catch { /* a newer check has begun, or the network is away: the server checks what is sent in any case */ }
    };
    form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(check, 400); });
    mark();
  }
})();

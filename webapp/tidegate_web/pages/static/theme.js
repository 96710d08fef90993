// Before the first paint: the scheme that was chosen here, else the system's.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("tidegate-theme"); } catch { /* storage is off */ }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.setAttribute("data-bs-theme", dark ? "dark" : "light");
})();

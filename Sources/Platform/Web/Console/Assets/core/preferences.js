// Language and theme: the only things the console keeps in localStorage (SEC-101).
const LANGUAGE = "clawbot.language";
const THEME = "clawbot.theme";

function read(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}
function write(key, value) {
  try { if (value === null) localStorage.removeItem(key); else localStorage.setItem(key, value); } catch { /* Storage is switched off: the choice lasts as long as the page. */ }
}

export const preferences = {
  get language() { return read(LANGUAGE); },
  set language(value) { write(LANGUAGE, value); },
  /** "light", "dark" or null: as the system has it. */
  get theme() { return read(THEME); },
  set theme(value) {
    write(THEME, value);
    showTheme(value);
  },
};

function showTheme(value) {
  if (value === "light" || value === "dark") document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
}
showTheme(read(THEME));

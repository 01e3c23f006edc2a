/** What the page's own address asks for: `?embed=1`, `?lang=zh|en`, `?theme=light|dark`. */

const query = new URLSearchParams(location.search);

/** The compact page, for a frame in a shop's own page. */
export const embedded = query.get("embed") === "1";
export const wantedLanguage = query.get("lang");
export const wantedTheme = query.get("theme");

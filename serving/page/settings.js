/** Language, appearance, credentials, and what serves: the dialog and the version in the page's head. */

import { wantedTheme } from "./address.js";
import { served } from "./api.js";
import { credentials, signIn } from "./credentials.js";
import { at, h } from "./dom.js";
import { language, say, speak } from "./language.js";
import { keep, kept } from "./storage.js";

/** Connects the dialog; `changed` is called when other credentials are set. Returns {open, look, lookAgain}. */
export function settings(changed) {
  const [dialog, form, version, about] = ["settings", "settings-form", "version", "about"].map(at);

  at("settings-cancel").addEventListener("click", () => dialog.close());
  for (const button of [at("open-settings"), version]) button.addEventListener("click", open);
  at("language").addEventListener("click", () => speak(language() === "zh" ? "en" : "zh", { chosen: true }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { language: code, theme, ...given } = Object.fromEntries(new FormData(form));
    const other = signIn(given);
    speak(code, { chosen: true });
    dress(theme, { chosen: true });
    dialog.close();
    if (other) changed();
    look();
  });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());
  return { open, look, lookAgain };

  /** Looks again where something was amiss. */
  function lookAgain() {
    if (version.dataset.state !== "ready") look();
  }

  function open() {
    const { apiKey, customerToken } = credentials();
    form.elements.language.value = language();
    form.elements.theme.value = theme();
    Object.assign(form.elements.apiKey, { value: apiKey });
    Object.assign(form.elements.customerToken, { value: customerToken });
    dialog.showModal();
  }

  /** Looks at what serves and shows it. */
  async function look() {
    let [state, names, release] = ["unreachable", [], ""];
    try {
      const found = await served();
      [names, release] = [found.names, found.release];
      state = !found.ready ? "unready" : found.stale ? "stale" : "ready";
    } catch (failure) {
      if (failure.status === 401) state = "unauthorized";
    }
    version.hidden = false;
    version.dataset.state = state;
    at("version-text").textContent = names.length ? `${names.at(-1)} · ${release.slice(0, 7)}` : "Kefu";
    say(at("version-state"), `state.${state}`);
    about.replaceChildren(
      ...row("about_state", `state.${state}`),
      ...fact("about_models", names.join(", ")),
      ...fact("about_release", release),
    );
  }
}

/** Light or dark: the address's wish, what was chosen before, or the system's. */
export function dress(name = theme(), { chosen = false } = {}) {
  if (chosen) keep("theme", name === "auto" ? null : name);
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

function theme() {
  const wanted = [wantedTheme, kept("theme")];
  return wanted.find((name) => ["light", "dark"].includes(name)) ?? "auto";
}

function fact(key, text) {
  return text ? [h("dt", { t: key }), h("dd", {}, h("code", {}, text))] : [];
}

function row(key, text) {
  return [h("dt", { t: key }), h("dd", { t: text })];
}

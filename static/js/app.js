// What pages need beyond htmx: the modal, toasts, busy buttons, focus after an error, theme, copying, keys.
// Everything works without it. No words stand here: they come translated from <template id="say"> in the page.
(() => {
  "use strict";
  const root = document.documentElement;
  root.dataset.js = "";

  const find = (selector, scope = document) => scope.querySelector(selector);
  const on = (type, handler, options) => document.addEventListener(type, handler, options);
  const say = (key) => find("#say").dataset[key];
  const modal = () => find("#modal");

  // ── Toasts ────────────────────────────────────────────────────────────────────────────────────────────────────
  const TOAST_MS = { success: 6000, info: 8000 }; // errors and warnings stay until dismissed

  function arm(toast) {
    const life = TOAST_MS[toast.dataset.toast];
    if (!life || toast.dataset.armed) return;
    toast.dataset.armed = "1";
    let timer = setTimeout(() => toast.remove(), life);
    const hold = () => clearTimeout(timer);
    const go = () => (timer = setTimeout(() => toast.remove(), life));
    toast.addEventListener("pointerenter", hold);
    toast.addEventListener("focusin", hold);
    toast.addEventListener("pointerleave", go);
    toast.addEventListener("focusout", go);
  }

  /** Show words in the status region (the modal's own while it is open). action: {label, run} or {label, href}. */
  function showToast(level, text, { title, action } = {}) {
    const model = find(`[data-toast="${level}"]`, find("#say").content) || find("[data-toast]", find("#say").content);
    const toast = model.cloneNode(true);
    const body = find(".toast-body", toast);
    find("p", body).textContent = text;
    if (title) {
      const head = document.createElement("p");
      head.className = "toast-title";
      head.textContent = title;
      body.prepend(head);
    }
    if (action) body.append(actionElement(action, toast));
    const region = modal()?.open ? find("[data-toasts]", modal()) : find("#toasts");
    while (region.children.length > 3) region.firstElementChild.remove();
    region.append(toast);
    arm(toast);
  }

  function actionElement(action, toast) {
    const element = document.createElement(action.href ? "a" : "button");
    if (action.href) element.href = action.href;
    else {
      element.type = "button";
      element.className = "button is-link";
      element.addEventListener("click", () => {
        toast.remove();
        action.run();
      });
    }
    element.textContent = action.label;
    return element;
  }

  on("toast", (event) => showToast(event.detail.level || "info", event.detail.text, event.detail));

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────
  on("htmx:config:request", (event) => {
    const token = find('meta[name="csrf-token"]')?.content;
    if (token) event.detail.ctx.request.headers["X-CSRFToken"] = token;
  });

  function retry(ctx) {
    const source = ctx.sourceElement;
    if (!source?.isConnected) return () => location.reload();
    if (source.matches("form")) return () => source.requestSubmit(ctx.request.submitter || undefined);
    if (source.matches("a, button")) return () => source.click();
    return () => window.htmx.ajax(ctx.request.method, ctx.request.action, { source, target: ctx.target, swap: ctx.swap });
  }

  // ── Regions that look again by themselves ─────────────────────────────────────────────────────────────────────
  // Every half minute while the page is seen; never under a reader's hands, and without a word when it fails.
  const LOOK_MS = 30000;
  const looksBySelf = (ctx) => ctx.sourceElement?.dataset?.live === "looking";
  function lookAgain() {
    if (document.hidden || modal()?.open) return;
    document.querySelectorAll("[data-live]").forEach((region) => {
      if (region.contains(document.activeElement) || find("details[open]", region)) return;
      region.dataset.live = "looking";
      region.dispatchEvent(new CustomEvent("look-again"));
    });
  }
  setInterval(lookAgain, LOOK_MS);
  on("visibilitychange", lookAgain);

  on("htmx:response:error", (event) => {
    const { ctx } = event.detail;
    if (ctx.response.status >= 500 && !looksBySelf(ctx)) {
      showToast("error", say("failed"), { action: { label: say("retry"), run: retry(ctx) } });
    }
  });
  on("htmx:error", (event) => {
    const { ctx } = event.detail;
    if (ctx && !looksBySelf(ctx)) showToast("error", say("offline"), { action: { label: say("retry"), run: retry(ctx) } });
  });

  // An error fragment belongs into the modal or into a region that asks for it; anywhere else it becomes a toast.
  on("htmx:before:swap", (event) => {
    const { ctx } = event.detail;
    const status = ctx.response?.status;
    if (!status || status < 400 || status >= 500 || status === 422 || ctx.target?.id === "modal-body" || ctx.target?.dataset?.errors === "inline") return;
    const page = new DOMParser().parseFromString(ctx.text || "", "text/html");
    const problem = find("[data-problem]", page);
    if (!problem) return;
    event.preventDefault();
    const words = (name) => find(`[data-problem-${name}]`, problem)?.textContent.trim() || "";
    const link = find("[data-problem-action]", problem);
    const action = link && { label: link.textContent.trim(), href: link.getAttribute("href") };
    showToast(status === 409 ? "warning" : "error", `${words("text")} ${words("advice")}`, { title: words("title"), action });
  });

  // ── Busy buttons ──────────────────────────────────────────────────────────────────────────────────────────────
  const buttonOf = (ctx) => {
    const source = ctx.sourceElement;
    if (ctx.request?.submitter) return ctx.request.submitter;
    if (source?.matches?.("button, a.button")) return source;
    return source?.matches?.('form[method="post"]') ? find('button[type="submit"], button:not([type])', source) : null;
  };
  on("htmx:before:request", (event) => buttonOf(event.detail.ctx)?.setAttribute("aria-busy", "true"));
  on("htmx:finally:request", (event) => {
    const { ctx } = event.detail;
    if (!ctx.keepIndicators) buttonOf(ctx)?.removeAttribute("aria-busy"); // leaving for another page: stays busy
  });
  on("click", (event) => {
    if (event.target.closest?.('[aria-busy="true"]')) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);
  on("submit", (event) => {
    const form = event.target;
    const takenByScript = event.defaultPrevented || form.matches("[hx-post], [hx-get], [data-theme-form], [method=dialog]");
    if (takenByScript || form.method !== "post") return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    // after the browser has read the form, else the button's own name and value would be lost
    setTimeout(() => (event.submitter || find("button", form))?.setAttribute("aria-busy", "true"));
  });
  // A form of the modal that fills a page of its own is sent as one: the modal would show it twice, one above the other.
  on("submit", (event) => {
    const form = event.target;
    if (!form.matches('main form[hx-target="#modal-body"]') || !find(".modal-frame", form)) return;
    event.stopImmediatePropagation();
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => event.submitter?.setAttribute("aria-busy", "true"));
  }, true);
  addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelectorAll('[aria-busy="true"]').forEach((button) => button.removeAttribute("aria-busy"));
    });
  });

  // ── The modal ─────────────────────────────────────────────────────────────────────────────────────────────────
  let opener = null;

  function openModal() {
    const dialog = modal();
    if (dialog.open) return;
    opener = document.activeElement;
    find("[data-toasts]", dialog).replaceChildren();
    dialog.showModal();
  }
  function closeModal() {
    if (modal().open) modal().close();
  }
  function whenClosed() {
    find("#modal-body").replaceChildren();
    const home = opener?.isConnected ? opener : opener?.id ? document.getElementById(opener.id) : null;
    (home || find("#main"))?.focus();
    opener = null;
  }
  on("modal:close", closeModal);
  on("close", (event) => event.target === modal() && whenClosed(), true);
  on("click", (event) => {
    const dialog = modal();
    if (dialog?.open && (event.target === dialog || event.target.closest("#modal [data-modal-close]"))) {
      event.preventDefault();
      closeModal();
    }
  });

  // ── After a swap ──────────────────────────────────────────────────────────────────────────────────────────────
  function focusFirstError(scope) {
    const wrong = find("[data-form-errors]", scope) || find('[aria-invalid="true"], [data-invalid]', scope);
    if (!wrong || wrong.closest("[data-no-autofocus]")) return false;
    wrong.focus();
    return true;
  }
  on("htmx:after:swap", (event) => {
    const { ctx } = event.detail;
    const target = ctx.target?.isConnected ? ctx.target : document;
    if (ctx.target?.id === "modal-body" && ctx.target.childElementCount) {
      const fresh = !modal().open;
      openModal();
      const focused = ctx.response?.status === 422 && focusFirstError(target);
      if (fresh && !focused && !find("[autofocus]", target)) find("#modal-title, [data-problem-title]", target)?.focus();
    } else if (ctx.response?.status === 422) {
      focusFirstError(target);
    }
    document.querySelectorAll("[data-toasts] [data-toast]").forEach(arm);
    tellTimes(document);
  });

  // ── Small helpers named by data attributes ────────────────────────────────────────────────────────────────────
  const actions = {
    dismiss: (element) => element.closest(element.dataset.dismiss)?.remove(),
    copy: (element) => navigator.clipboard.writeText(element.dataset.copy).then(() => showToast("success", say("copied"))),
    reveal(element) {
      const input = document.getElementById(element.dataset.reveal);
      const shown = input.type === "password";
      input.type = shown ? "text" : "password";
      element.setAttribute("aria-pressed", String(shown));
      find(".visually-hidden", element).textContent = say(shown ? "hide" : "show");
    },
  };
  on("click", (event) => {
    for (const [name, run] of Object.entries(actions)) {
      const element = event.target.closest(`[data-${name}]`);
      if (element) run(element);
    }
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });

  on("input", (event) => {
    const list = document.getElementById(`${event.target.id}-rules`);
    list?.querySelectorAll("[data-min-length]").forEach((rule) => {
      rule.classList.toggle("is-met", [...event.target.value].length >= Number(rule.dataset.minLength));
    });
  });

  on("submit", (event) => {
    const form = event.target.closest("[data-theme-form]");
    if (!form) return;
    event.preventDefault();
    const chosen = event.submitter.value;
    if (chosen === "auto") delete root.dataset.theme;
    else root.dataset.theme = chosen;
    form.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === event.submitter)));
    form.closest("details")?.removeAttribute("open");
    fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), redirect: "manual" });
  });

  // ── Keys ──────────────────────────────────────────────────────────────────────────────────────────────────────
  function stepRow(direction) {
    const rows = [...document.querySelectorAll("table[data-rows] tbody tr")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement?.closest("tr"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + direction))];
    find("a", next)?.focus();
    next.scrollIntoView({ block: "nearest" });
  }
  const keys = {
    "/": () => find("[data-search]")?.focus(),
    j: () => stepRow(1),
    k: () => stepRow(-1),
  };
  on("keydown", (event) => {
    const open = event.key === "Escape" && find("details[data-menu][open]");
    if (open) {
      open.open = false;
      find("summary", open).focus();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || modal()?.open) return;
    if (event.target.closest("input, textarea, select, [contenteditable]") || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // ── Times ─────────────────────────────────────────────────────────────────────────────────────────────────────
  // The server's clock may be ahead of this one (demonstrations travel in time), so its reading is taken as "now".
  const shift = root.dataset.now ? Date.parse(root.dataset.now) - Date.now() : 0;
  const STEPS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const words = new Intl.RelativeTimeFormat(root.lang || "en", { numeric: "auto" });

  function tellTimes(scope) {
    scope.querySelectorAll("time[data-relative]").forEach((time) => {
      const seconds = (Date.parse(time.dateTime) - Date.now() - shift) / 1000;
      const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) || ["minute", 60];
      time.textContent = words.format(Math.round(seconds / size), unit);
    });
  }

  function start() {
    tellTimes(document);
    setInterval(() => tellTimes(document), 60000);
    document.querySelectorAll("[data-toasts] [data-toast]").forEach(arm);
    focusFirstError(document);
  }
  if (document.readyState === "loading") on("DOMContentLoaded", start);
  else start();
})();

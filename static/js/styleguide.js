// The style guide only: look at it in light or dark without changing one's own choice, and call up a toast.
document.addEventListener("click", (event) => {
  const theme = event.target.closest("[data-theme-preview]");
  if (theme) document.documentElement.dataset.theme = theme.dataset.themePreview;
  const toast = event.target.closest("[data-toast-preview]");
  if (toast) {
    const detail = { level: toast.dataset.toastPreview, text: toast.textContent.trim() };
    document.dispatchEvent(new CustomEvent("toast", { detail }));
  }
});

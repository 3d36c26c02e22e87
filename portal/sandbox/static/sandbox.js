// While the clock is being moved, fetch the page again until it has come to rest. Without script there is a link.
const panel = () => document.getElementById("clock-panel");

async function follow() {
  while (panel()?.hasAttribute("data-running")) {
    await new Promise((done) => setTimeout(done, 1000));
    const answer = await fetch(location.pathname);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
  }
}

follow();

// The list of sections shows where one is; `?` shows the keys.

const sections = () => {
  const links = new Map(findAll("nav a[href^='#']").map((link) => [link.hash.slice(1), link]));
  const heads = findAll("h2[id]").filter((head) => links.has(head.id));
  const here = () => {
    const line = innerHeight / 3;
    const passed = heads.filter((head) => head.getBoundingClientRect().top <= line);
    const current = (passed.at(-1) ?? heads[0])?.id;
    for (const [id, link] of links) {
      if (id !== current) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "location");
        const list = link.closest("ul");
        list.scrollTo({ left: link.offsetLeft - list.clientWidth / 2 });
      }
    }
  };
  let asked = false;
  const soon = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; here(); });
  };
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  here();
};

const keys = (actions) => {
  const dialog = find("[data-keys-dialog]");
  const show = () => dialog.showModal();
  find("[data-keys]")?.addEventListener("click", show);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
    const action = { "?": show, ...actions }[event.key];
    if (action && action() !== false) event.preventDefault();
  });
};

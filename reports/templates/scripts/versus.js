// Sets up the page of several runs.

document.documentElement.classList.add("js");
for (const tools of findAll("[data-tools]")) tools.hidden = false;
sections();
keys({});
setTimeout(charts);

// What the page shows is in its address, so that a link leads back: #trial=17, #view=ensemble&cell=4-9, #where=...

const address = (() => {
  const read = () => new Map(location.hash.slice(1).split("&").filter(Boolean).map((part) => {
    const [name, value = ""] = part.split("=", 2);
    return [name, value];
  }));
  const text = (parts) => [...parts].map(([name, value]) => (value === "" ? name : `${name}=${value}`)).join("&");
  // Replaces all parts but the selection, or only the selection, without a step in the history.
  const write = (parts, where = read().get("where")) => {
    const all = new Map(parts);
    all.delete("where");
    if (where) all.set("where", where);
    history.replaceState(null, "", `#${text(all)}`);
  };
  return { read, write };
})();

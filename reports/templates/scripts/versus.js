// The page of several runs.

findAll("table.sortable").forEach(sortable);
setTimeout(charts);

// The page of several runs.

setTimeout(charts);

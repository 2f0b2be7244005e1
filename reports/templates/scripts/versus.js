// Sets up the page of several runs.

setTimeout(charts);

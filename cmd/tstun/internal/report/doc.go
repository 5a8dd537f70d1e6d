// Package report says in one page what a tunnel that runs did over a time.
//
// Collect asks the tunnel. What it returns is the data of the page, and a JSON document.
// WriteHTML writes the page: it loads nothing, has no script, and stays below 1 MiB,
// whatever there is.
package report

// Package control lets other processes see and end a tunnel that runs: HTTP over
// a Unix socket, for the tunnel's own user and for root. docs/api.md has the
// endpoints.
//
// Each tunnel has a Server with a socket of its own, NAME.sock in one of Dirs. A
// Client asks it.
package control

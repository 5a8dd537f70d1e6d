package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"regexp"
	"strings"
	"syscall"

	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// listenFailure returns the error of a socket that could not be opened.
func listenFailure(flag string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there (ss -lntup shows which): end it, or choose another port; 0 takes a free one"
	case errors.Is(err, fs.ErrPermission):
		hint = "ports below 1024 are root's on most systems: choose a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "listen on an address that this host has"
	}
	return ui.Failf(hint, "%s: %w", flag, err)
}

// startFailure returns the error of a tunnel that did not start.
func startFailure(err error, c *tunnel.Config) error {
	hint := ""
	var lookup *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = fmt.Sprintf("another program has UDP port %d (ss -lnup shows which): end it, or take ListenPort out of the file for a free one", c.ListenPort)
	case errors.Is(err, fs.ErrPermission) && c.Mode == tunnel.ModeUserspace:
	case errors.Is(err, fs.ErrPermission):
		hint = "run it as root, or with CAP_NET_ADMIN; --mode userspace needs no right"
	case errors.Is(err, errors.ErrUnsupported):
		hint = "--mode userspace works on this system"
	case errors.As(err, &lookup):
		hint = "this host's resolver looks up names of endpoints: see that it works, or write an address"
	}
	return ui.Failf(hint, "tunnel %s did not start: %w", c.Name, clean(err))
}

// clean returns err as people read it: without the word that says of which
// package each of its lines is.
func clean(err error) error { return cleanError{err} }

var ofPackage = regexp.MustCompile(`^(tunnel|wgquick): (start: )?`)

type cleanError struct{ error }

func (e cleanError) Error() string {
	lines := strings.Split(e.error.Error(), "\n")
	for i, l := range lines {
		lines[i] = ofPackage.ReplaceAllString(l, "")
	}
	return strings.Join(lines, "\n")
}

func (e cleanError) Unwrap() error { return e.error }

// wasObeyed reports whether a start that failed did so because ctx ended, and
// undid all that it had done.
func wasObeyed(ctx context.Context, err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	return ctx.Err() != nil && ok && len(joined.Unwrap()) == 1
}

package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"strings"
)

// maxCredential is the length of a name or password in bytes, at most.
// RFC 1929 §2.
const maxCredential = 255

// Credentials are what a client must know. The zero value asks for nothing.
type Credentials struct {
	Username, Password string
}

func (c Credentials) required() bool { return c != Credentials{} }

// match compares in a time that says nothing about how much was right.
func (c Credentials) match(username, password string) bool {
	return sameText(c.Username, username)&sameText(c.Password, password) == 1
}

func sameText(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// Check returns what is wrong with c, or nil: both are missing, or both are
// there with up to 255 bytes each, and the name has no colon (RFC 7617 §2).
func (c Credentials) Check() error {
	switch {
	case !c.required():
		return nil
	case c.Username == "":
		return errors.New("there is a password but no username")
	case c.Password == "":
		return errors.New("there is a username but no password")
	case len(c.Username) > maxCredential || len(c.Password) > maxCredential:
		return fmt.Errorf("username and password have %d and %d bytes, more than %d", len(c.Username), len(c.Password), maxCredential)
	case strings.Contains(c.Username, ":"):
		return errors.New("a username cannot have a colon")
	}
	return nil
}

// ErrOpen is the error of a server that would serve others than the host's own
// programs without a password.
var ErrOpen = errors.New("this would be an open proxy")

// checkOpen returns an ErrOpen if l is reached from elsewhere.
func checkOpen(l net.Listener, c Credentials) error {
	a, isIP := addrPortOf(l.Addr())
	if !isIP || a.Addr().IsLoopback() || c.required() {
		return nil
	}
	return fmt.Errorf("%w: whoever reaches %s could use it; listen on loopback, or set a password", ErrOpen, a)
}

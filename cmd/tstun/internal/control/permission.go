package control

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
)

// permissionKey is the key of a connection's refusal in its context.
type permissionKey struct{}

// withPermission asks the kernel once for each connection who is at its other
// end.
func withPermission(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, permissionKey{}, permission(c))
}

// permission returns nil for this server's own user and for root.
func permission(c net.Conn) *Error {
	slot, ok := c.(*slotConn)
	if !ok {
		return &Error{Message: "not a connection of a Unix socket", Code: http.StatusForbidden}
	}
	p, err := peerOf(slot.UnixConn)
	switch {
	case err != nil:
		return &Error{Message: fmt.Sprintf("not permitted: %v", err), Code: http.StatusForbidden}
	case p.uid != os.Geteuid() && p.uid != 0:
		return &Error{
			Message: fmt.Sprintf("not permitted: the tunnel is of user %d, and user %d asks", os.Geteuid(), p.uid),
			Hint:    "ask as that user, or as root", Code: http.StatusForbidden,
		}
	}
	return nil
}

// refusal returns why a request's connection is refused, or nil.
func refusal(r *http.Request) *Error {
	err, ok := r.Context().Value(permissionKey{}).(*Error)
	if !ok {
		return &Error{Message: "not permitted: it is not known who asks", Code: http.StatusForbidden}
	}
	return err
}

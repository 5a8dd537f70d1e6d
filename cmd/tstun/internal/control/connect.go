package control

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"tstun/cmd/tstun/internal/proxy"
)

// upgradeTo is the protocol that a connection becomes: bytes both ways.
const upgradeTo = "tcp"

// connect opens a TCP connection through the tunnel and makes the client's
// connection one with it. RFC 9110 §7.8.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	if r.Header.Get("Upgrade") != upgradeTo {
		w.Header().Set("Upgrade", upgradeTo)
		return &Error{Message: "connect needs the header Upgrade: " + upgradeTo, Code: http.StatusUpgradeRequired}
	}
	to, err := proxy.ParseDestination(r.URL.Query().Get("to"))
	if err != nil {
		return &Error{Message: "to: " + err.Error(), Code: http.StatusBadRequest}
	}
	remote, err := proxy.Dial(r.Context(), t.Network, to)
	if errors.Is(err, proxy.ErrDestination) {
		return &Error{Message: err.Error(), Hint: "only what is beyond the tunnel can be reached", Code: http.StatusForbidden}
	}
	if err != nil {
		return &Error{Message: err.Error(), Hint: fmt.Sprintf("tstun diagnose %s tells what is wrong with the tunnel", s.name), Code: http.StatusBadGateway}
	}
	defer remote.Close()
	c, early, err := takeOver(w)
	if err != nil {
		return nil // there is nobody to tell
	}
	defer c.Close()
	if _, err := remote.Write(early); err == nil {
		_ = proxy.Relay(s.ctx, c, remote) // either end sees that it ended
	}
	return nil
}

// takeOver switches protocols, and returns the connection with what the client
// was too quick to send.
func takeOver(w http.ResponseWriter) (net.Conn, []byte, error) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(writeTimeout))
	early, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err == nil {
		_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", upgradeTo)
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close()
	}
	return c, early, err
}

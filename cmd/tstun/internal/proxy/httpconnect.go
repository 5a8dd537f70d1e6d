package proxy

import (
	"io"
	"net"
	"net/http"
	"time"

	"tstun/internal/relay"
)

// connect serves a CONNECT. RFC 9110 §9.3.6.
func (h *httpHandler) connect(w http.ResponseWriter, r *http.Request) {
	to, err := splitEndpoint(r.URL.Host)
	if err != nil {
		writeError(w, http.StatusBadRequest, "CONNECT needs host:port, such as CONNECT example.com:443: "+err.Error())
		return
	}
	remote, err := h.route.dial(r.Context(), "tcp", to)
	if err != nil {
		writeFailure(w, r, err)
		return
	}
	c, early, err := hijack(w)
	if err != nil {
		remote.Close()
		return
	}
	if err := startTunnel(c, remote, early); err != nil {
		relay.Reset(c)
		relay.Reset(remote)
		return
	}
	relay.Both(r.Context(), c, remote)
}

// hijack takes the client's connection over, with what net/http has read of
// it already.
func hijack(w http.ResponseWriter) (net.Conn, []byte, error) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, err := io.ReadAll(io.LimitReader(buffered.Reader, int64(buffered.Reader.Buffered())))
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
	}
	return c, early, err
}

// startTunnel answers the client and sends what it was too quick to send.
func startTunnel(c, remote net.Conn, early []byte) error {
	_, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	if err != nil || len(early) == 0 {
		return err
	}
	_, err = remote.Write(early)
	return err
}

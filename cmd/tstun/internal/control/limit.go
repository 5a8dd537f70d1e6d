package control

import (
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// limited is a listener of at most so many connections at once. One more is told
// so, and closed.
type limited struct {
	*net.UnixListener
	slots chan struct{}
}

func limit(l *net.UnixListener, n int) *limited { return &limited{l, make(chan struct{}, n)} }

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &slotConn{UnixConn: c, give: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			refuse(c, cap(l.slots))
		}
	}
}

// refuse answers before it is asked. What it writes fits the socket's buffer.
func refuse(c *net.UnixConn, n int) {
	body, _ := json.Marshal(Error{Message: fmt.Sprintf("%d connections are served, which is the limit", n), Hint: "try again later"})
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", jsonType, len(body), body)
	_ = c.Close()
}

// slotConn gives its place back when it is closed.
type slotConn struct {
	*net.UnixConn
	give func()
}

func (c *slotConn) Close() error {
	defer c.give()
	return c.UnixConn.Close()
}

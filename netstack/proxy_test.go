package netstack_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"tstun/netstack"
)

// A proxy on one stack forwards to a server on it, bodies and upgrades too.
func TestReverseProxy(t *testing.T) {
	a, b := backToBack(t)
	l := serveHTTP(t, b, &http.Server{Handler: site(nil)}, b.on(b.v6, 0))
	target, err := url.Parse("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	tr := &http.Transport{DialContext: a.s.DialContext}
	defer tr.CloseIdleConnections()
	proxy.Transport = tr
	front := serveHTTP(t, a, &http.Server{Handler: proxy}, a.on(a.v4, 0))
	c := client(t, b, &http.Transport{})
	whole(t, c, "http://"+front.Addr().String(), "HTTP/1.1")
	for _, to := range []struct {
		from *node
		l    net.Listener
	}{{b, front}, {a, l}} {
		lines(t, mustDial(t, to.from.s, "tcp", to.l.Addr().String()))
	}
}

// lines upgrades the connection and talks to the echo behind.
func lines(t *testing.T, c net.Conn) {
	t.Helper()
	io.WriteString(c, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v, %v", resp, err)
	}
	for _, line := range []string{"one\n", "two\n"} {
		io.WriteString(c, line)
		if got, err := r.ReadString('\n'); got != line || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	c.(*netstack.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("at the end %q, %v", rest, err)
	}
}
